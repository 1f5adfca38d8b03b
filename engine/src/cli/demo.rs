//! `adit demo`: practice pool, proxy and miners in one process over loopback TCP, and whether all went well.

use std::fmt;
use std::net::{AddrParseError, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use adit_admin::AdminServer;
use adit_loadtest::cpu_miner::{CpuMiner, CpuMinerConfig, MinerReport};
use adit_loadtest::practice_pool::{PracticePool, PracticePoolConfig};
use adit_protocol::event::Outcome;
use adit_protocol::names::NameRule;
use adit_store::clock::now_us;
use adit_store::codes;
use adit_store::reader::{ReadError, Reader, Span};
use clap::Args;
use crossbeam::channel;

use super::tools::{self, Until};
use super::{EXIT_RUNTIME, admin, fail, print, run};
use crate::reload::Configured;
use crate::settings::{ADMIN_LISTEN_DEFAULT, AdminSettings, PoolSettings, Settings};
use crate::startup;
use crate::supervisor::{Running, Supervisor};

/// Hashes per second of one miner: little enough for any machine.
const HASHES_PER_SECOND: f64 = 100_000.0;
/// Shares per second that one miner finds on average.
const SHARES_PER_SECOND: f64 = 4.0;
/// Hashes that a share of difficulty 1 takes on average.
const HASHES_PER_DIFFICULTY: f64 = 4_294_967_296.0;
/// Time between two jobs: a few of them, also in a short demo.
const JOB_INTERVAL: Duration = Duration::from_secs(5);
/// The account that the pool sees before the miners' names.
const ACCOUNT: &str = "demo";
/// What operators are shown as the configuration.
const NO_FILE: &str = "# adit demo has no configuration\n";
/// Connections beside the miners' own, while one comes back.
const SPARE_CONNECTIONS: usize = 16;

#[derive(Args, Debug)]
pub struct DemoFlags {
    /// How long it runs
    #[arg(long = "for", value_name = "TIME", default_value = "20s", value_parser = tools::duration)]
    time: Duration,

    /// How many miners, each with a thread that hashes
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    miners: u16,

    /// Threads that serve them [default: one per core this process may use]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    shards: Option<u16>,

    /// Keep every share in this SQLite file, which stays there for `adit ledger`
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,

    /// Show what happens at this address, in a browser and to scripts, or nowhere (off)
    #[arg(long, value_name = "ADDR:PORT|off", default_value_t = Switchable::On(ADMIN_LISTEN_DEFAULT))]
    admin: Switchable,
}

/// Where operators are answered.
#[derive(Clone, Copy, Debug)]
enum Switchable {
    On(SocketAddr),
    Off,
}

impl FromStr for Switchable {
    type Err = AddrParseError;

    fn from_str(text: &str) -> Result<Self, AddrParseError> {
        if text == "off" { Ok(Self::Off) } else { text.parse().map(Self::On) }
    }
}

impl fmt::Display for Switchable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::On(address) => address.fmt(f),
            Self::Off => f.write_str("off"),
        }
    }
}

type AnyError = Box<dyn std::error::Error>;

/// Runs it. Well is: shares were accepted, none went unanswered, and miners, proxy, pool and ledger
/// counted the same.
pub fn execute(flags: &DemoFlags) -> ExitCode {
    let tally = match demo(flags) {
        Ok(tally) => tally,
        Err(error) => return fail(EXIT_RUNTIME, &error),
    };
    let printed = print(&tally.summary());
    match tally.fault() {
        None => printed,
        Some(fault) => fail(EXIT_RUNTIME, &fault),
    }
}

fn demo(flags: &DemoFlags) -> Result<Tally, AnyError> {
    let log = tools::start_log()?;
    let pool = PracticePool::start(PracticePoolConfig {
        difficulty: HASHES_PER_SECOND / SHARES_PER_SECOND / HASHES_PER_DIFFICULTY,
        job_interval: JOB_INTERVAL,
        ..PracticePoolConfig::default()
    })?;
    let mut settings = settings(pool.address(), flags)?;
    startup::check(&mut settings, true)?;
    let drain = Duration::from_millis(settings.timeouts.drain_ms);
    let started_us = now_us();
    let running = Supervisor::start(settings).map_err(run::advised)?;
    let proxy = *running.listen_addrs().first().ok_or("the proxy does not listen")?;
    print(&format!("pool {}  ◀  adit {proxy}  ◀  {} miners\n", pool.address(), flags.miners));
    let admin = show(flags.admin, &running);

    let mut until = Until::start(Some(flags.time), log.clone())?;
    let miners = (1..=flags.miners)
        .map(|number| {
            let mut config = CpuMinerConfig::new(proxy.to_string(), format!("miner.rig{number}"));
            config.hashes_per_second_max = Some(HASHES_PER_SECOND);
            CpuMiner::start(config)
        })
        .collect::<Result<Vec<_>, _>>()?;
    while until.show(|| live_line(&running)) && !running.has_ended() {}

    // From the outside in, so that every share on its way is answered.
    let mut tally = Tally::default();
    for miner in miners {
        tally.add(&miner.stop());
    }
    running.stop(drain);
    drop(admin);
    tally.finish(&running, &pool);
    running.join()?;
    if let Some(path) = &flags.ledger {
        tally.accepted_in_ledger = Some(accepted_since(path, started_us)?);
    }
    log.finish();
    Ok(tally)
}

/// Shows operators what happens. The demo goes on without where that cannot be done.
fn show(admin: Switchable, running: &Running) -> Option<AdminServer> {
    let Switchable::On(address) = admin else { return None };
    let settings = AdminSettings { listen: vec![address], ..AdminSettings::default() };
    // Without a token nobody can ask for a drain.
    let (drain, _) = channel::bounded(1);
    let (server, said) = match admin::start(&settings, running, Configured::Fixed(NO_FILE), drain) {
        Ok(server) => {
            let urls: Vec<_> = server.addresses().iter().map(|&address| admin::url(address)).collect();
            (Some(server), format!("dashboard {}/\n", urls.join("/ ")))
        }
        Err(error) => (None, format!("no dashboard: {error}; --admin ADDR:PORT gives it another address\n")),
    };
    print(&said);
    server
}

fn settings(pool: SocketAddr, flags: &DemoFlags) -> Result<Settings, AnyError> {
    let mut pool = PoolSettings::transparent(pool.ip().to_string(), pool.port());
    pool.account = Some(ACCOUNT.to_owned());
    pool.name_rule = NameRule::new(pool.account.clone(), None)?;
    let mut settings = Settings::with_pool(pool);
    settings.listeners = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))];
    settings.shards = flags.shards.and_then(|count| std::num::NonZeroUsize::new(count.into()));
    settings.limits.connections_max = usize::from(flags.miners) + SPARE_CONNECTIONS;
    settings.limits.connections_per_address_max = settings.limits.connections_max;
    settings.admin = None;
    settings.ledger.clone_from(&flags.ledger);
    Ok(settings)
}

/// Accepted shares of this demo in the ledger, which may have older ones.
fn accepted_since(ledger: &Path, from_us: u64) -> Result<u64, ReadError> {
    let accepted = codes::outcome_name(codes::outcome(Outcome::Accepted));
    let mut count = 0;
    Reader::open(ledger)?.for_each_share(Span { from_us, ..Span::ALL }, None, |share| {
        count += u64::from(share.outcome == accepted);
        Ok(())
    })?;
    Ok(count)
}

fn live_line(running: &Running) -> String {
    let counters = running.counters();
    let accepted = counters.shares(Outcome::Accepted);
    let rejected = counters.shares(Outcome::Rejected) + counters.shares(Outcome::RefusedHere);
    let rate = accepted as f64 * 100.0 / ((accepted + rejected) as f64).max(1.0);
    let latency = running.latency();
    format!(
        "{} connections  {} shares  {rate:.1} % accepted  p50 {} µs  p99 {} µs",
        counters.open(),
        accepted + rejected,
        latency.value_at_quantile(0.5),
        latency.value_at_quantile(0.99)
    )
}

/// What came of all shares, as each of the three saw it.
#[derive(Debug, Default)]
struct Tally {
    accepted: u64,
    rejected: u64,
    unanswered: u64,
    accepted_by_pool: u64,
    accepted_by_proxy: u64,
    /// `None` if none is kept.
    accepted_in_ledger: Option<u64>,
    p50_us: u64,
    p99_us: u64,
}

impl Tally {
    fn add(&mut self, report: &MinerReport) {
        self.accepted += report.accepted;
        self.rejected += report.rejected_count();
        self.unanswered += report.unanswered + report.waiting();
    }

    fn finish(&mut self, running: &Running, pool: &PracticePool) {
        self.accepted_by_proxy = running.counters().shares(Outcome::Accepted);
        self.accepted_by_pool = pool.stats().accepted;
        let latency = running.latency();
        self.p50_us = latency.value_at_quantile(0.5);
        self.p99_us = latency.value_at_quantile(0.99);
    }

    fn summary(&self) -> String {
        let Self { accepted, rejected, unanswered, p50_us, p99_us, .. } = self;
        format!(
            "accepted={accepted} rejected={rejected} unanswered={unanswered} p50_us={p50_us} p99_us={p99_us}\n"
        )
    }

    fn fault(&self) -> Option<String> {
        let Self { accepted, accepted_by_pool, accepted_by_proxy, .. } = self;
        if *accepted == 0 {
            Some("no share was accepted".to_owned())
        } else if self.unanswered > 0 {
            Some(format!("{} shares went unanswered", self.unanswered))
        } else if accepted != accepted_by_pool || accepted != accepted_by_proxy {
            Some(format!(
                "the miners count {accepted} accepted shares, the proxy {accepted_by_proxy}, the pool {accepted_by_pool}"
            ))
        } else {
            let in_ledger = self.accepted_in_ledger.filter(|in_ledger| in_ledger != accepted)?;
            Some(format!("the miners count {accepted} accepted shares, the ledger {in_ledger}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_well_only_if_shares_were_accepted_answered_and_counted_alike() {
        let well = || Tally { accepted: 3, accepted_by_pool: 3, accepted_by_proxy: 3, ..Tally::default() };
        assert_eq!(well().fault(), None);
        assert_eq!(Tally { rejected: 5, ..well() }.fault(), None);
        assert_eq!(Tally { accepted_in_ledger: Some(3), ..well() }.fault(), None);
        for broken in [
            Tally { accepted: 0, ..well() },
            Tally { unanswered: 1, ..well() },
            Tally { accepted_by_pool: 4, ..well() },
            Tally { accepted_by_proxy: 2, ..well() },
            Tally { accepted_in_ledger: Some(2), ..well() },
        ] {
            assert!(broken.fault().is_some(), "{broken:?}");
        }
    }

    #[test]
    fn the_summary_is_one_line_of_names_and_numbers() {
        let tally =
            Tally { accepted: 1, rejected: 2, unanswered: 3, p50_us: 4, p99_us: 5, ..Tally::default() };
        assert_eq!(tally.summary(), "accepted=1 rejected=2 unanswered=3 p50_us=4 p99_us=5\n");
    }
}
