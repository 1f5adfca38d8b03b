//! What must hold when everything is quiet.

use std::collections::BTreeMap;

use adit_protocol::event::{CloseReason, Event, LoginFailure, MoveReason, Oddity, Outcome};

use crate::miner::{Kind, Miner};

/// How much of everything a run saw, so that a simulation in which nothing happens is noticed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub accepted: usize,
    pub rejected: usize,
    pub refused_here: usize,
    pub unanswered: usize,
    pub late: usize,
    pub stray: usize,
    pub answered_for_pool: usize,
    pub pending_full: usize,
    pub pools_lost: usize,
    pub logins_failed: usize,
    pub switched: usize,
    pub cannot_switch: usize,
    pub wires_done: usize,
    pub adopted: usize,
    pub ahead: usize,
    pub stocked: usize,
    pub renamed: usize,
    pub flapped: usize,
    pub torn: usize,
    /// Pools that came back to a miner which had waited for them on its connection.
    pub restarted: usize,
    /// Pools that were given up since they answered nothing to begin with.
    pub mute: usize,
    pub let_go: usize,
    pub placed_live: usize,
    pub sent_back: usize,
    pub refused_misplaced: usize,
    pub close_reasons: BTreeMap<String, usize>,
}

impl Totals {
    pub fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.rejected += other.rejected;
        self.refused_here += other.refused_here;
        self.unanswered += other.unanswered;
        self.late += other.late;
        self.stray += other.stray;
        self.answered_for_pool += other.answered_for_pool;
        self.pending_full += other.pending_full;
        self.pools_lost += other.pools_lost;
        self.logins_failed += other.logins_failed;
        self.switched += other.switched;
        self.cannot_switch += other.cannot_switch;
        self.wires_done += other.wires_done;
        self.adopted += other.adopted;
        self.ahead += other.ahead;
        self.stocked += other.stocked;
        self.renamed += other.renamed;
        self.flapped += other.flapped;
        self.torn += other.torn;
        self.restarted += other.restarted;
        self.mute += other.mute;
        self.let_go += other.let_go;
        self.placed_live += other.placed_live;
        self.sent_back += other.sent_back;
        self.refused_misplaced += other.refused_misplaced;
        for (reason, count) in &other.close_reasons {
            *self.close_reasons.entry(reason.clone()).or_default() += count;
        }
    }

    pub fn assert_all_seen(&self) {
        let seen = [
            self.accepted,
            self.rejected,
            self.refused_here,
            self.unanswered,
            self.late,
            self.stray,
            self.answered_for_pool,
            self.pending_full,
            self.pools_lost,
            self.logins_failed,
            self.switched,
            self.cannot_switch,
            self.wires_done,
            self.adopted,
            self.ahead,
            self.stocked,
            self.renamed,
            self.flapped,
            self.torn,
            self.restarted,
            self.mute,
            self.let_go,
            self.placed_live,
            self.sent_back,
            self.refused_misplaced,
        ];
        assert!(seen.iter().all(|&count| count > 0), "{self:?}");
        assert!(self.close_reasons.len() >= 6, "{self:?}");
    }
}

/// Everything that one lane left behind.
pub struct Lane<'a> {
    pub miner: &'a Miner,
    /// What all pools said to the miner's shares.
    pub verdicts: &'a BTreeMap<u32, Option<bool>>,
    pub events: &'a [Event],
    /// First verdicts that reached the session while it lived: accepted ones and all.
    pub accepts_delivered: usize,
    pub verdicts_delivered: usize,
}

/// Compares what the miner was told, what the pool said and what the session counted.
pub fn lane(lane: &Lane<'_>) -> Result<Totals, String> {
    let mut totals = Totals::default();
    let mut finished = 0;
    for event in lane.events {
        match event {
            Event::Share(share) => match share.outcome {
                Outcome::Accepted => totals.accepted += 1,
                Outcome::Rejected => totals.rejected += 1,
                Outcome::RefusedHere => totals.refused_here += 1,
                Outcome::Unanswered => totals.unanswered += 1,
            },
            Event::Odd(Oddity::LateAccept | Oddity::LateReject) => totals.late += 1,
            Event::Odd(Oddity::StrayResponse) => totals.stray += 1,
            Event::Odd(Oddity::AnsweredForPool) => totals.answered_for_pool += 1,
            Event::Odd(Oddity::PendingFull) => totals.pending_full += 1,
            Event::PoolLost { .. } => totals.pools_lost += 1,
            Event::LoginFailed { why, .. } => {
                totals.logins_failed += 1;
                totals.mute += usize::from(*why == LoginFailure::Unanswered);
            }
            Event::Switched { from, to, reason, .. } => {
                totals.switched += 1;
                totals.restarted += usize::from(from == to && *reason == MoveReason::PoolLost);
                totals.placed_live += usize::from(*reason == MoveReason::Placement);
            }
            Event::Misplaced { left: Some(_), .. } => totals.let_go += 1,
            Event::Odd(Oddity::RefusedMisplaced) => totals.refused_misplaced += 1,
            Event::Prepared { can_switch: false, .. } => totals.cannot_switch += 1,
            Event::WireDone { .. } => totals.wires_done += 1,
            Event::Finish(reason) => {
                finished += 1;
                totals.sent_back += usize::from(*reason == CloseReason::Misplaced);
                *totals.close_reasons.entry(format!("{reason:?}")).or_default() += 1;
            }
            _ => {}
        }
    }
    if finished != 1 {
        return Err(format!("finished {finished} times"));
    }
    if let Some(line) = lane.miner.complaints.first() {
        return Err(format!("the miner was told what it must not hear: {line}"));
    }
    one_answer_each(lane.miner)?;
    in_order(lane.miner)?;
    acceptances(lane, &totals)?;
    outcomes(lane, &totals)?;
    Ok(totals)
}

fn answers_by_id(miner: &Miner) -> BTreeMap<String, Vec<bool>> {
    let mut answers: BTreeMap<String, Vec<bool>> = BTreeMap::new();
    for line in &miner.answers {
        let value: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
        let accepted = value["result"] == true && value["error"].is_null();
        answers.entry(raw_id(line)).or_default().push(accepted);
    }
    answers
}

/// The id's bytes as they stand in the line; empty when there is none.
pub fn raw_id(line: &str) -> String {
    let object: BTreeMap<String, Box<serde_json::value::RawValue>> =
        serde_json::from_str(line).unwrap_or_default();
    object.get("id").map_or_else(String::new, |raw| raw.get().to_owned())
}

fn one_answer_each(miner: &Miner) -> Result<(), String> {
    let answers = answers_by_id(miner);
    let mut owed: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for request in miner.requests.iter().filter(|request| request.heard) {
        let (least, most) = owed.entry(&request.id).or_default();
        match request.kind {
            Kind::Handshake | Kind::Submit { .. } | Kind::Internal => {
                (*least, *most) = (*least + 1, *most + 1);
            }
            Kind::Other => *most += 1,
            Kind::Silent => {}
        }
    }
    for (id, (least, most)) in &owed {
        let got = answers.get(*id).map_or(0, Vec::len);
        if got < *least || got > *most {
            return Err(format!("id {id:?}: {got} answers for {least} to {most} requests"));
        }
    }
    match answers.keys().find(|id| !owed.contains_key(id.as_str())) {
        Some(id) => Err(format!("an answer to {id:?}, which was never asked")),
        None => Ok(()),
    }
}

/// The handshake's answers come in the order of its requests.
fn in_order(miner: &Miner) -> Result<(), String> {
    let asked = miner.requests.iter().filter(|request| request.heard && request.kind == Kind::Handshake);
    let wanted: Vec<&str> = asked.map(|request| request.id.as_str()).collect();
    let got: Vec<String> =
        miner.answers.iter().map(|line| raw_id(line)).filter(|id| wanted.contains(&id.as_str())).collect();
    if got == wanted {
        Ok(())
    } else {
        Err(format!("handshake answered in the order {got:?}, asked in {wanted:?}"))
    }
}

/// No acceptance that the pool did not give.
fn acceptances(lane: &Lane<'_>, totals: &Totals) -> Result<(), String> {
    let answers = answers_by_id(lane.miner);
    let mut ids: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for request in lane.miner.requests.iter().filter(|request| request.heard) {
        if let Kind::Submit { nonce } = request.kind {
            ids.entry(&request.id).or_default().push(nonce);
        }
    }
    let mut shown = 0;
    for (id, nonces) in &ids {
        let accepted = answers.get(*id).map_or(0, |answers| answers.iter().filter(|yes| **yes).count());
        let given = nonces.iter().filter(|nonce| lane.verdicts.get(nonce) == Some(&Some(true))).count();
        if accepted > given {
            return Err(format!("id {id:?}: {accepted} shares shown accepted, the pool accepted {given}"));
        }
        shown += accepted;
    }
    if shown != totals.accepted {
        return Err(format!("{shown} shares shown accepted, {} counted so", totals.accepted));
    }
    Ok(())
}

/// Every share has one outcome, and the outcomes are what the pool said.
fn outcomes(lane: &Lane<'_>, totals: &Totals) -> Result<(), String> {
    let is_heard_submit =
        |request: &&crate::miner::Request| request.heard && matches!(request.kind, Kind::Submit { .. });
    let submits = lane.miner.requests.iter().filter(is_heard_submit).count();
    let ended = totals.accepted + totals.rejected + totals.refused_here + totals.unanswered;
    if submits != ended {
        return Err(format!("{submits} shares heard, {ended} outcomes"));
    }
    let late_accepts =
        lane.events.iter().filter(|event| matches!(event, Event::Odd(Oddity::LateAccept))).count();
    if lane.accepts_delivered != totals.accepted + late_accepts {
        return Err(format!(
            "the pool's {} acceptances were delivered, {} counted and {late_accepts} late",
            lane.accepts_delivered, totals.accepted
        ));
    }
    if lane.verdicts_delivered != totals.accepted + totals.rejected + totals.late {
        return Err(format!("{} verdicts delivered, {totals:?}", lane.verdicts_delivered));
    }
    Ok(())
}
