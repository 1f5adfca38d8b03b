//! What goes wrong with the HTTP server behind the front: a process without descriptors, folders that a killed one left.
//! Alone in its binary, since it takes all descriptors of the process.

mod common;

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use common::control::FakeControl;
use common::http::{Client, get};
use common::{serve, wait_until};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const LIVE: &str = "GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n";
/// Set for the process that is killed.
const VICTIM: &str = "ADMIN_TEST_VICTIM";

/// Descriptors that the process may have while they run out.
const DESCRIPTORS_MAX: u64 = 256;

fn is_answered(address: SocketAddr) -> bool {
    let Ok(stream) = TcpStream::connect(address) else { return false };
    drop(stream);
    get(address, "/live").status == 200
}

#[test]
fn a_server_that_ran_out_of_descriptors_is_replaced_and_a_killed_ones_folder_removed() {
    if std::env::var_os(VICTIM).is_some() {
        return be_killed();
    }
    descriptors_run_out();
    folder_is_left_behind();
}

fn descriptors_run_out() {
    let server = serve(FakeControl::well());
    let address = server.addresses()[0];
    // Connected while that is still possible.
    let mut client = Client::connect(address);
    client.send(LIVE);
    assert_eq!(client.answer().unwrap().status, 200);
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(DESCRIPTORS_MAX), ..before }).unwrap();
    let mut hoard = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        hoard.push(file);
    }
    // One is left for the front's way behind, none for the other end of it: tiny_http's accept fails, and its thread ends.
    drop(hoard.pop());
    client.send(LIVE);
    let answer = client.answer().unwrap();
    assert_eq!(answer.status, 503, "{}", answer.text());
    drop((hoard, client));
    setrlimit(Resource::Nofile, before).unwrap();
    wait_until("the server answers again", || is_answered(address));
    assert!((0..20).all(|_| get(address, "/live").status == 200), "and goes on answering");
    let metrics = get(address, "/metrics");
    let replacements =
        metrics.text().lines().find_map(|line| line.strip_prefix("adit_admin_replacements_total "));
    assert_eq!(replacements, Some("1"), "the old one died of it");
}

/// A process that serves until it is killed.
fn be_killed() {
    let server = serve(FakeControl::well());
    println!("serving on {}", server.addresses()[0]);
    loop {
        std::thread::park();
    }
}

fn folders_of(process: u32) -> Vec<PathBuf> {
    let mark = format!("adit-{process}-");
    let places = [std::env::temp_dir(), "/dev/shm".into()];
    let named = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let entries = places.into_iter().chain(named).filter_map(|place| fs::read_dir(place).ok()).flatten();
    let paths = entries.flatten().map(|entry| entry.path());
    paths.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(&mark)).collect()
}

fn folder_is_left_behind() {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--nocapture", "--test-threads", "1"])
        .env(VICTIM, "1")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let process = victim.id();
    wait_until("the other process serves", || !folders_of(process).is_empty());
    wait_until("it has its lock", || folders_of(process).iter().all(|folder| folder.join("0").exists()));
    let server = serve(FakeControl::well());
    assert!(!folders_of(process).is_empty(), "one that lives keeps its folder");
    drop(server);
    victim.kill().unwrap();
    victim.wait().unwrap();
    assert!(!folders_of(process).is_empty(), "nobody could remove it");
    let _server = serve(FakeControl::well());
    assert!(folders_of(process).is_empty(), "{:?}", folders_of(process));
}
