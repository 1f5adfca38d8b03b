//! The dashboard as a browser gets it.

mod common;

use adit_admin::{Options, Role};
use common::control::FakeControl;
use common::http::{get, get_with, request};
use common::{serve, serve_with, token};

#[test]
fn the_page_comes_with_a_strict_policy_and_needs_no_figures() {
    let server = serve(FakeControl::well());
    let page = get(server.addresses()[0], "/");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self'"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains('*') && !policy.contains("http"), "{policy}");
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert!(page.text().contains("<title>Adit</title>"));
}

#[test]
fn files_travel_compressed_and_only_once() {
    let server = serve(FakeControl::well());
    let address = server.addresses()[0];
    let path = "/dashboard/vendor/uplot/uPlot.iife.min.js";
    let plain = get(address, path);
    let packed = get_with(address, path, &[("Accept-Encoding", "gzip, br")]);
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert!(packed.body.len() * 3 < plain.body.len() * 2);
    let tag = packed.header("etag").unwrap().to_owned();
    let again = get_with(address, path, &[("If-None-Match", &tag)]);
    assert_eq!((again.status, again.body.len()), (304, 0));
}

#[test]
fn the_page_is_there_without_a_token_so_that_it_can_ask_for_one() {
    let options = Options { tokens: vec![token("eve", Role::Viewer).0], ..Options::default() };
    let server = serve_with(FakeControl::well(), options);
    let address = server.addresses()[0];
    assert_eq!(get(address, "/").status, 200);
    assert_eq!(get(address, "/dashboard/app.js").status, 200);
    assert_eq!(get(address, "/stats").status, 401);
    // A page of somebody else that names this address as its own gets nothing.
    assert_eq!(request(address, "GET", "/", &[("Host", "evil.example")], "").status, 421);
}

#[test]
fn there_is_nothing_else_in_its_folder() {
    let server = serve(FakeControl::well());
    for path in
        ["/dashboard", "/dashboard/", "/dashboard/index.html", "/dashboard/../Cargo.toml", "/index.html"]
    {
        assert_eq!(get(server.addresses()[0], path).status, 404, "{path}");
    }
    assert_eq!(request(server.addresses()[0], "POST", "/", &[], "").status, 404);
}
