//! What becomes of a session that lost its pool.

use super::plane::Plane;

impl Plane {
    /// Decides what was left open while sessions were called.
    pub(super) fn decide(&mut self) {
        let mut decisions = std::mem::take(&mut self.decisions);
        for (key, why) in decisions.drain(..) {
            self.end_session(key, why, self.now);
        }
        self.decisions = decisions;
    }
}
