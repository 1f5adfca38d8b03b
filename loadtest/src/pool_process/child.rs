//! The process's side: the pool itself, orders in, what it sees out.

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};

use super::{Listening, Order, Start};
use crate::scripted_pool::ScriptedPool;

/// Serves one pool: orders come on `orders`, what it sees goes to `seen`. Ends when it is told, or when nobody is left who
/// could tell it.
pub fn serve(orders: impl Read, mut seen: impl Write + Send + 'static) -> io::Result<()> {
    let mut orders = BufReader::new(orders).lines();
    let start = orders.next().ok_or_else(|| io::Error::other("no first line"))??;
    let Start { address, tag, looks } = serde_json::from_str(&start)?;
    let script = looks.script(&tag);
    // Whatever stands on that line already is not ours.
    seen.write_all(b"\n")?;
    let journal = move |listening| -> io::Result<Box<dyn Write + Send>> {
        serde_json::to_writer(&mut seen, &Listening { listening })?;
        seen.write_all(b"\n")?;
        Ok(Box::new(BufWriter::new(seen)))
    };
    let pool = ScriptedPool::start_with_journal(address, looks.habit.script(script.clone()), journal)?;
    for order in orders {
        match serde_json::from_str(&order?)? {
            Order::Habit(habit) => pool.take_habit(habit, &script),
            Order::Job => pool.new_job(),
            Order::Stop => break,
        }
    }
    pool.stop();
    Ok(())
}
