//! `adit run`: from settings to a proxy that serves, and to its orderly end.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use crossbeam::channel::{self, Receiver};
use thiserror::Error;

use super::settings_flags::SettingsFlags;
use super::{EXIT_CONFIGURATION, EXIT_RUNTIME, admin, fail, ledger};
use crate::config::{self, Watch};
use crate::logging::{self, LogHandle};
use crate::reload::{Configured, Reloader};
use crate::settings::Settings;
use crate::signals::{self, Told};
use crate::startup::{self, StartupErrors};
use crate::supervisor::{StartError, Supervisor};

/// How often the shards are looked at while nothing is asked.
const LOOK_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Error)]
enum RunError {
    #[error(transparent)]
    Startup(#[from] StartupErrors),
    #[error("signals cannot be watched: {0}")]
    Signals(std::io::Error),
    #[error("{0}")]
    Start(String),
    #[error("the admin server: {0}; --admin gives it another address, --admin off does without")]
    Admin(#[from] adit_admin::StartError),
    #[error("a shard ended that was not told to{}", .0.as_ref().map(|error| format!(": {error}")).unwrap_or_default())]
    Shard(Option<std::io::Error>),
}

/// Runs the proxy until it is told to stop.
pub fn execute(flags: &SettingsFlags) -> ExitCode {
    let sources = flags.sources();
    let config = match config::load(sources.clone()) {
        Ok(config) => config,
        Err(errors) => return fail(EXIT_CONFIGURATION, &errors),
    };
    let watch = Watch::new(sources, config.settings.clone());
    #[cfg(feature = "sentry")]
    let reporter = match crate::reporting::start(&config.settings) {
        Ok(reporter) => reporter.map(|reporter| Arc::new(reporter) as Arc<dyn log::Log>),
        Err(error) => return fail(EXIT_RUNTIME, &error),
    };
    // The configuration refuses to want one.
    #[cfg(not(feature = "sentry"))]
    let reporter = None;
    let log = match logging::start(&config.settings.log, reporter) {
        Ok(log) => log,
        Err(error) => return fail(EXIT_RUNTIME, &error),
    };
    let is_max_chosen = config.is_set("limits.connections_max");
    let is_logged_to_file = config.settings.log.file.is_some();
    let shown = config::as_toml(&config.shown);
    let outcome = serve(config.settings, is_max_chosen, shown, watch, &log);
    if let Err(error) = &outcome {
        error.to_string().lines().for_each(|line| log::error!("{line}"));
        if is_logged_to_file {
            // Whoever started it looks here first.
            let _ = fail(EXIT_RUNTIME, error);
        }
    }
    log.finish();
    if outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_RUNTIME) }
}

fn serve(
    mut settings: Settings,
    is_max_chosen: bool,
    shown: String,
    watch: Watch,
    log: &LogHandle,
) -> Result<(), RunError> {
    let told = signals::watch(log.clone()).map_err(RunError::Signals)?;
    log::info!("adit {}", env!("CARGO_PKG_VERSION"));
    for note in startup::check(&mut settings, is_max_chosen)? {
        log::warn!("{note}");
    }
    let pools: Vec<_> = settings.pools.iter().map(|pool| pool.name.as_str()).collect();
    let pools = pools.join(", ");
    let drain = Duration::from_millis(settings.timeouts.drain_ms);
    let admin_settings = settings.admin.clone();
    let running = Supervisor::start(settings).map_err(|error| RunError::Start(advised(error)))?;
    // This end stays here: without an admin server there would be none, and waiting for one that is gone does not wait.
    let (drain_sender, drain_asked) = channel::bounded(1);
    let reloader = Arc::new(Reloader::new(watch, running.figures().pools.clone(), shown));
    let config = Configured::Loaded(reloader.clone());
    let start_admin = |settings| admin::start(settings, &running, config, drain_sender.clone());
    let _admin = admin_settings.as_ref().map(start_admin).transpose()?;
    for address in running.listen_addrs() {
        log::info!("listening on {address}, pool {pools}");
    }
    while !is_told_to_stop(&told, &drain_asked, &reloader) {
        if running.has_ended() {
            running.stop(drain);
            return Err(RunError::Shard(running.join().err()));
        }
    }
    drop(drain_sender);
    running.stop(drain);
    running.join().map_err(|error| RunError::Shard(Some(error)))?;
    log::info!("stopped");
    Ok(())
}

/// Why Adit did not start, and what to do about it where that is not obvious.
pub fn advised(error: StartError) -> String {
    match error {
        StartError::Ledger(error) => ledger::advised_start(&error),
        error => error.to_string(),
    }
}

/// Waits a while for a signal or an operator's command to stop, and reloads where that is wanted instead.
fn is_told_to_stop(told: &Told, drain_asked: &Receiver<()>, reloader: &Reloader) -> bool {
    channel::select! {
        recv(told.stop) -> _ => return true,
        recv(drain_asked) -> asked => return asked.is_ok(),
        recv(told.reload) -> asked => if asked.is_ok() {
            // What came of it is in the log.
            let _ = reloader.reload("SIGHUP");
        },
        default(LOOK_EVERY) => reloader.look(),
    }
    false
}
