//! What the process is told by signals: stop, stop at once, reopen the log.
//!
//! One thread waits for them all, so nothing happens inside a signal handler. Not here: how a stop is done.

use std::io;
use std::thread;

use crossbeam::channel::{Receiver, bounded};
use signal_hook::consts::signal::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;
use signal_hook::low_level::{exit, signal_name};

use crate::logging::LogHandle;

/// What shells report of a process that a signal ended: this much more than the signal's number.
const EXIT_CODE_BASE: i32 = 128;

/// Told to stop, by the name of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// `SIGTERM` or `SIGINT`.
    pub signal: &'static str,
}

/// Starts to watch. The receiver gets one [`Stop`] on the first SIGTERM or SIGINT; a second one of either ends the
/// process where it stands, with 128 and the signal's number as exit code.
///
/// SIGUSR1 has the log's file opened again. SIGHUP is kept for reloading the configuration.
pub fn watch(log: LogHandle) -> io::Result<Receiver<Stop>> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGUSR1, SIGHUP])?;
    let (sender, receiver) = bounded(1);
    let watch = move || {
        let mut is_stopping = false;
        for signal in signals.forever() {
            let name = signal_name(signal).unwrap_or("a signal");
            match signal {
                SIGUSR1 => log.reopen(),
                SIGHUP => {
                    log::warn!("{name}: reloading the configuration is not there yet; restart to change it");
                }
                _ if is_stopping => {
                    log::warn!("{name} again: ending at once");
                    log.finish();
                    exit(EXIT_CODE_BASE.saturating_add(signal));
                }
                _ => {
                    is_stopping = true;
                    log::info!("{name}: stopping; again to end at once");
                    // A receiver that is gone has nothing left to stop.
                    let _ = sender.try_send(Stop { signal: name });
                }
            }
        }
    };
    thread::Builder::new().name("adit-signals".to_owned()).spawn(watch)?;
    Ok(receiver)
}
