//! A shard learns of other pools: numbers, terms, names in the ledger, and the rules by which miners get them.

use std::sync::Arc;

use super::kept::Doorkeeper;
use super::plane::Plane;
use crate::pools::catalogue::Catalogue;

impl Plane {
    /// Goes by this catalogue from now on. What is open stays open: sessions whose pool is gone are looked after as when a
    /// pool goes down.
    pub(super) fn pools_are_others(&mut self, catalogue: Arc<Catalogue>) {
        self.pool_keys.learn(&catalogue);
        self.shared.terms = catalogue.terms();
        self.shared.settings.linger_ms = catalogue.settings().failover.linger_ms;
        self.shared.session_ids = Box::new(self.issued.door(&catalogue));
        self.pools.catalogue = catalogue;
        self.shared.router = Box::new(Doorkeeper::new(&self.pools, &self.reserved, &self.stock.shelves));
        self.pools_stand_otherwise();
    }
}
