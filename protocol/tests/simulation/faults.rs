//! The proxy broken on purpose, to see that the checkers see it: its lines and events are changed on their way out.

use adit_protocol::event::Event;

use crate::world::World;

/// What is broken on purpose, to see that the checker sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    AcceptBeforeThePool,
    DropAnAnswer,
    AnswerTwice,
    LoseAnOutcome,
    MixUpPools,
    ReorderTheHandshake,
    /// After a switch, shares for jobs of the old pool go to the new one.
    SharesFollowTheMiner,
    /// After a switch, jobs of the old pool still reach the miner.
    JobsOfBothPools,
    /// Job ids are passed as they are, whatever the old pool's are.
    ForgetTranslation,
    FirstJobNotClean,
    PassReconnectDown,
    LeaveExtranonceOut,
    /// Names are told to whatever pool the miner has.
    TellNamesToAnyPool,
}

impl World {
    /// Where a line goes: to its connection, unless something is broken on purpose.
    pub fn misdirected(&self, lane: usize, connection: usize, text: &str) -> usize {
        match self.fault {
            Fault::MixUpPools if connection > 0 => connection - 1,
            Fault::SharesFollowTheMiner if text.contains("mining.submit") => {
                self.lanes[lane].current.unwrap_or(connection)
            }
            _ => connection,
        }
    }

    /// The deliberately broken variants.
    pub fn break_something(&mut self, index: usize, before: Option<usize>, events: &mut Vec<Event>) {
        let lane = &mut self.lanes[index];
        let fresh = String::from_utf8_lossy(&lane.to_miner).into_owned();
        let is_answer = fresh.contains("\"result\":true") && !fresh.contains("method");
        let broken = match self.fault {
            Fault::AcceptBeforeThePool => fresh.replace(
                "\"result\":null,\"error\":[20,\"pool did not answer\",null]",
                "\"result\":true,\"error\":null",
            ),
            Fault::DropAnAnswer if is_answer && !self.fault_done => {
                self.fault_done = true;
                String::new()
            }
            Fault::AnswerTwice if is_answer && !self.fault_done => {
                self.fault_done = true;
                format!("{fresh}{fresh}")
            }
            Fault::LoseAnOutcome if !self.fault_done => {
                let count = events.len();
                events.retain(|event| !matches!(event, Event::Share(_)));
                self.fault_done = events.len() != count;
                fresh
            }
            Fault::ReorderTheHandshake => fresh.split_inclusive('\n').rev().collect(),
            Fault::JobsOfBothPools if lane.wants_clean.is_some() && !fresh.is_empty() => match before {
                Some(old) => fresh.clone() + &self.connections[old].job(&mut self.random),
                None => fresh,
            },
            Fault::ForgetTranslation => {
                let lines = fresh.split_inclusive('\n');
                lines
                    .map(|line| self.connections.iter().fold(line.to_owned(), |line, pool| pool.own_id(line)))
                    .collect()
            }
            Fault::FirstJobNotClean if lane.wants_clean.is_some() => {
                fresh.replace("\"66252f80\",true]", "\"66252f80\",false]")
            }
            Fault::PassReconnectDown
                if events.iter().any(|event| matches!(event, Event::Reconnect { .. })) =>
            {
                fresh + "{\"id\":null,\"method\":\"client.reconnect\",\"params\":[]}\n"
            }
            Fault::LeaveExtranonceOut => {
                fresh.split_inclusive('\n').filter(|line| !line.contains("mining.set_extranonce")).collect()
            }
            _ => return,
        };
        self.lanes[index].to_miner = broken.into_bytes();
    }
}
