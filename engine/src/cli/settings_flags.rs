//! The flags that say what a configuration file may say too.
//!
//! They stay text here: [`crate::config`] judges them together with file and environment, so that all mistakes are
//! told at once and in the same words.

use std::path::PathBuf;

use clap::Args;

use crate::config::{Flags, Sources};

/// Settings from the command line.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Settings (each beats its ADIT_* variable, which beats the file)")]
pub struct SettingsFlags {
    /// Read settings from this TOML file [default: the one that ADIT_CONFIG names, else none]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Await miners here; may be given several times [default: 0.0.0.0:3333]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Vec<String>,

    /// A pool, as stratum+tcp://HOST:PORT; given several times, each is used when those before it fail
    #[arg(long, value_name = "URL")]
    pool: Vec<String>,

    /// Your account at the pool; without it, each miner's own name and password go to the pool as they are. The same for
    /// all pools of --pool, or given once for each; so are the next two
    #[arg(long, value_name = "NAME")]
    user: Vec<String>,

    /// Sent to the pool instead of the miners' own. Other users of this machine can see it in the list of processes;
    /// ADIT_POOLS_0_PASSWORD and the file keep it
    #[arg(long, value_name = "PASSWORD")]
    password: Vec<String>,

    /// The name the pool sees, made of {account} (your user), {name} (the miner's whole name), {worker} (what follows
    /// its first dot) and plain text [default with a user: {account}.{worker}]
    #[arg(long, value_name = "TEMPLATE")]
    worker_name: Vec<String>,

    /// Threads that serve miners [default: one per core this process may use]
    #[arg(long, value_name = "N")]
    shards: Option<String>,

    /// Do not bind these threads to cores of their own
    #[arg(long)]
    no_pin: bool,

    /// Hash every share here too, before the pool's verdict
    #[arg(long)]
    share_check: bool,

    /// Answer operators over HTTP here, or nowhere (off); may be given several times [default: 127.0.0.1:9090]
    #[arg(long, value_name = "ADDR:PORT|off")]
    admin: Vec<String>,

    /// Keep every share in this SQLite file
    #[arg(long, value_name = "FILE")]
    ledger: Option<String>,

    /// What to log: off, error, warn, info, debug or trace, then single modules, as in info,adit::shard=debug
    /// [default: info]
    #[arg(long, value_name = "LEVELS")]
    log_level: Option<String>,

    /// Log text for humans or JSON lines [default: text]
    #[arg(long, value_name = "text|json")]
    log_format: Option<String>,

    /// Log to this file instead of stderr; SIGUSR1 opens it anew
    #[arg(long, value_name = "FILE")]
    log_file: Option<String>,

    /// Set any key of the configuration, as in limits.connections_max=500; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_and_value)]
    set: Vec<(String, String)>,
}

impl SettingsFlags {
    /// These flags with this process's environment and the file that is named.
    pub fn sources(&self) -> Sources {
        Sources::of_process(self.config.as_deref(), self.flags())
    }

    fn flags(&self) -> Flags {
        let mut flags = Flags::default();
        for (key, value) in &self.set {
            flags.set("--set", key, value);
        }
        flags.set_list("--listen", "listen", &self.listen);
        flags.set_list("--admin", "admin.listen", &self.admin);
        self.set_pools(&mut flags);
        for (flag, key, value) in [
            ("--shards", "shards", &self.shards),
            ("--ledger", "ledger.file", &self.ledger),
            ("--log-level", "log.level", &self.log_level),
            ("--log-format", "log.format", &self.log_format),
            ("--log-file", "log.file", &self.log_file),
        ] {
            if let Some(value) = value {
                flags.set(flag, key, value);
            }
        }
        if self.no_pin {
            flags.set("--no-pin", "pin", "false");
        }
        if self.share_check {
            flags.set("--share-check", "share_check", "true");
        }
        flags
    }

    /// The n-th value of a flag is for the n-th pool, the last value for all pools that follow.
    fn set_pools(&self, flags: &mut Flags) {
        for (flag, key, values) in [
            ("--pool", "url", &self.pool),
            ("--user", "user", &self.user),
            ("--password", "password", &self.password),
            ("--worker-name", "worker_name", &self.worker_name),
        ] {
            let Some(last) = values.last() else { continue };
            let repeated = values.iter().chain(std::iter::repeat(last));
            for (index, value) in repeated.take(values.len().max(self.pool.len())).enumerate() {
                flags.set(flag, &format!("pools.{index}.{key}"), value);
            }
        }
    }
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err("it is not KEY=VALUE".to_owned()),
    }
}
