//! Groups by where miners come in and where they come from, which is known before anything is said.

use std::net::SocketAddr;

use adit_loadtest::peer::Peer;
use socket2::{Domain, Socket, Type};

use crate::support::{DEFAULT, EU, SUBSCRIBE, TwoGroups, expect_pool};

#[test]
fn a_listener_leads_to_its_group() {
    let two = TwoGroups::new(&["routes.0.group=eu", "routes.0.listener=127.0.0.2:0"]);
    for (listener, tag) in [(0, DEFAULT), (1, EU)] {
        let mut miner = two.miner_at(listener);
        miner.send_line(SUBSCRIBE).expect("sent");
        expect_pool(&mut miner, tag);
    }
}

#[test]
fn a_network_leads_to_its_group() {
    let two = TwoGroups::new(&["routes.0.group=eu", "routes.0.network=127.0.3.0/24"]);
    for (from, tag) in [([127, 0, 0, 1], DEFAULT), ([127, 0, 3, 7], EU)] {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from((from, 0)).into()).expect("an address of this machine");
        socket.connect(&two.adit.address().into()).expect("Adit accepts");
        let mut miner = Peer::from_stream(socket.into()).expect("a connection");
        miner.send_line(SUBSCRIBE).expect("sent");
        expect_pool(&mut miner, tag);
    }
}
