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
    /// Job ids are passed as they are where the newest jobs told have others: older ones are forgotten.
    TranslateTheNewestOnly,
    FirstJobNotClean,
    PassReconnectDown,
    LeaveExtranonceOut,
    /// Names are told to whatever pool the miner has.
    TellNamesToAnyPool,
}

/// Jobs that the forgetful variant remembers.
const NEWEST: usize = 16;

fn job_id(line: &str) -> Option<String> {
    let (head, rest) = line.split_once("\"params\":[\"")?;
    head.contains("mining.notify").then(|| rest.split_once('"').map(|(id, _)| id.to_owned()))?
}

/// How a job is named in a share's line.
fn job_param(id: &str) -> String {
    format!("\",\"{id}\",\"00000001\"")
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

    /// A job under its pool's own id, unless one of the newest jobs that the miner was told has that.
    fn own_id_if_new(&mut self, index: usize, notify: String) -> String {
        let Some(told) = job_id(&notify) else { return notify };
        let own = self.connections.iter().fold(notify.clone(), |text, pool| pool.own_id(text));
        let Some(id) = job_id(&own) else { return notify };
        let lane = &mut self.lanes[index];
        let newest = lane.told_ids.len().saturating_sub(NEWEST);
        let is_new = !lane.told_ids[newest..].contains(&id);
        lane.told_ids.push(if is_new { id.clone() } else { told.clone() });
        if !is_new {
            return notify;
        }
        lane.mistold.insert(id, told);
        own
    }

    /// A share's line with the session's id of its job where the miner was told another one.
    pub fn mistranslated(&self, index: usize, line: String) -> String {
        let Some((id, ours)) = self.lanes[index].mistold.iter().find(|(id, _)| line.contains(&job_param(id)))
        else {
            return line;
        };
        line.replace(&job_param(id), &job_param(ours))
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
            Fault::TranslateTheNewestOnly => {
                let lines: Vec<String> = fresh.split_inclusive('\n').map(str::to_owned).collect();
                lines.into_iter().map(|line| self.own_id_if_new(index, line)).collect()
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
