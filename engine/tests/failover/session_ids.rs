//! A miner names the session id of its last connection: only the pool that issued it hears of it.

use adit_loadtest::peer::{Peer, PeerListener};
use adit_loadtest::process::Adit;

use crate::common::{adit, id_of, url};

/// Subscribes with these params; what the pool hears of it. The pool issues `s1`.
fn subscribes(adit: &Adit, pool: &PeerListener, params: &str) -> String {
    let mut miner = Peer::connect(adit.address()).expect("Adit accepts");
    let subscribe = |id: &str| format!(r#"{{"id":{id},"method":"mining.subscribe","params":{params}}}"#);
    miner.send_line(&subscribe("1")).expect("sent");
    let mut pool = pool.accept();
    let heard = pool.line();
    let id = id_of(&heard);
    let result = r#""result":[[["mining.notify","s1"]],"f000000a",8],"error":null"#;
    pool.send_line(&format!("{{\"id\":{id},{result}}}")).expect("sent");
    miner.expect_line(&format!("{{\"id\":1,{result}}}"));
    heard
        .split_once(r#""params":"#)
        .map(|(_, params)| params.trim_end_matches('}').to_owned())
        .unwrap_or_default()
}

#[test]
fn with_several_pools_an_id_goes_to_the_pool_that_issued_it_and_an_unknown_one_to_none() {
    let pool = PeerListener::bind().expect("a loopback listener");
    // Nobody is there; the first pool is everybody's.
    let adit = adit(&url(&pool), &["--pool", "stratum+tcp://127.0.0.1:1"]);
    assert_eq!(subscribes(&adit, &pool, r#"["a/1","s1"]"#), r#"["a/1"]"#, "nobody issued it yet");
    assert_eq!(subscribes(&adit, &pool, r#"["a/1","s1"]"#), r#"["a/1","s1"]"#);
    assert_eq!(subscribes(&adit, &pool, r#"["a/1","other","host",1]"#), r#"["a/1",null,"host",1]"#);
    let signed = r#"["NiceHash/1.0","1514767599123","5e"]"#;
    assert_eq!(subscribes(&adit, &pool, signed), signed);
}

#[test]
fn with_one_pool_an_id_passes_whoever_issued_it() {
    let pool = PeerListener::bind().expect("a loopback listener");
    let adit = adit(&url(&pool), &[]);
    assert_eq!(subscribes(&adit, &pool, r#"["a/1","before-the-start"]"#), r#"["a/1","before-the-start"]"#);
}
