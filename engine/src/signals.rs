//! What the process is told by signals: stop, stop at once, reload, reopen the log.
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

/// Where what was told arrives.
#[derive(Clone, Debug)]
pub struct Told {
    /// One [`Stop`] on the first SIGTERM or SIGINT.
    pub stop: Receiver<Stop>,
    /// Something on SIGHUP; several in a row may be one.
    pub reload: Receiver<()>,
}

/// Starts to watch. A second SIGTERM or SIGINT ends the process where it stands, with 128 and the signal's number as exit
/// code. SIGUSR1 has the log's file opened again.
pub fn watch(log: LogHandle) -> io::Result<Told> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGUSR1, SIGHUP])?;
    let (stop_sender, stop) = bounded(1);
    let (reload_sender, reload) = bounded(1);
    let watch = move || {
        let mut is_stopping = false;
        for signal in signals.forever() {
            let name = signal_name(signal).unwrap_or("a signal");
            match signal {
                SIGUSR1 => log.reopen(),
                SIGHUP => {
                    // A full one is one that was not heard yet; without a receiver there is nothing to reload.
                    let _ = reload_sender.try_send(());
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
                    let _ = stop_sender.try_send(Stop { signal: name });
                }
            }
        }
    };
    thread::Builder::new().name("adit-signals".to_owned()).spawn(watch)?;
    Ok(Told { stop, reload })
}
