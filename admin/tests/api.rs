//! Every page, against the description that the server gives of itself.

mod common;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use adit_admin::view::WorkerState;
use adit_admin::{Command, Options, Refusal, Role};
use common::control::FakeControl;
use common::http::{Answer, Client, get, get_with, post, request};
use common::schema::faults;
use common::{serve, serve_with, token, wait_until};
use serde_json::{Value, json};

/// A server with an operator token, and that token's header.
fn with_operator(control: std::sync::Arc<FakeControl>) -> (adit_admin::AdminServer, SocketAddr, String) {
    let (token, authorization) = token("ada", Role::Operator);
    let options = Options { tokens: vec![token], workers_in_metrics_max: 3, ..Options::default() };
    let server = serve_with(control, options);
    let address = server.addresses()[0];
    (server, address, authorization)
}

/// Checks an answer against the description of a page.
fn check(document: &Value, path: &str, method: &str, answer: &Answer) {
    let about = format!("{method} {path}: {}", answer.head);
    let answers = &document["paths"][path][method]["responses"];
    let described = answers.get(answer.status.to_string()).or_else(|| answers.get("default"));
    let mut described = described.unwrap_or_else(|| panic!("not described: {about}"));
    if let Some(pointer) = described.get("$ref").and_then(Value::as_str) {
        described = document.pointer(&pointer[1..]).unwrap();
    }
    let Some(content) = described.get("content") else {
        assert!(answer.body.is_empty(), "{about}");
        return;
    };
    let content_type = answer.header("content-type").unwrap();
    let schema = &content
        .get(content_type)
        .unwrap_or_else(|| panic!("{content_type} is not described: {about}"))["schema"];
    if content_type.ends_with("json") {
        let faults = faults(document, schema, &answer.json());
        assert!(faults.is_empty(), "{about}\n{}", faults.join("\n"));
    }
}

#[test]
fn every_page_answers_as_it_is_described() {
    let control = FakeControl::well();
    let (_server, address, authorization) = with_operator(control.clone());
    let document = get(address, "/openapi.json").json();
    assert_eq!(document["openapi"], "3.1.0");
    let mut seen = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            seen.insert(format!("{method} {path}"));
            let target = match path.as_str() {
                path if path.starts_with("/stats/workers/") || path.starts_with("/workers/") => {
                    path.replace("{name}", "farm.rig00001")
                }
                path => path.replace("{name}", "a"),
            };
            let body = match (method.as_str(), path.as_str()) {
                ("post", "/workers/{name}/move" | "/pools/{name}/move") => json!({ "to": "b" }).to_string(),
                ("post", "/bans") => json!({ "network": "192.0.2.0/24", "seconds": 60 }).to_string(),
                ("post", "/drill") => json!({ "percent": 5 }).to_string(),
                _ => String::new(),
            };
            let headers = [("Authorization", authorization.as_str()), ("Content-Type", "application/json")];
            let answer = request(address, &method.to_uppercase(), &target, &headers, &body);
            assert!(matches!(answer.status, 200 | 202), "{method} {path}: {}", answer.text());
            check(&document, path, method, &answer);
            // A refusal is described as well.
            let answer =
                request(address, &method.to_uppercase(), &target, &[("Authorization", "Bearer x")], &body);
            assert_eq!(answer.status, 401, "{method} {path}");
            check(&document, path, method, &answer);
        }
    }
    for needed in [
        "get /health",
        "get /ready",
        "get /live",
        "get /health/database",
        "get /health/pool",
        "get /health/system",
        "get /metrics",
        "get /metrics/prometheus",
        "get /metrics/json",
        "get /stats",
        "get /stats/workers",
        "get /stats/workers/{name}",
        "get /stats/pools",
        "get /stats/shards",
        "get /config",
        "get /events",
        "get /openapi.json",
        "post /config/reload",
        "post /drain",
        "post /pools/{name}/enable",
        "post /pools/{name}/disable",
        "post /pools/{name}/drain",
        "post /pools/{name}/move",
        "post /workers/{name}/disconnect",
        "post /workers/{name}/move",
        "post /drill",
        "post /bans",
    ] {
        assert!(seen.contains(needed), "{needed} is missing");
    }
}

#[test]
fn health_that_fails_answers_as_it_is_described() {
    let control = FakeControl::well();
    let (_server, address, authorization) = with_operator(control.clone());
    let document = get(address, "/openapi.json").json();
    control.change(|said| {
        said.health.pools.usable = 0;
        said.health.system.shards_alive = 0;
        said.health.database.as_mut().unwrap().writable = false;
    });
    for path in ["/health", "/ready", "/live", "/health/database", "/health/pool", "/health/system"] {
        let answer = get_with(address, path, &[("Authorization", &authorization)]);
        assert_eq!(answer.status, 503, "{path}");
        check(&document, path, "get", &answer);
    }
}

#[test]
fn the_description_refers_to_nothing_that_is_not_there() {
    let server = serve(FakeControl::well());
    let document = get(server.addresses()[0], "/openapi.json").json();
    let mut ids = BTreeSet::new();
    let mut todo = vec![&document];
    while let Some(value) = todo.pop() {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(pointer)) = members.get("$ref") {
                    assert!(document.pointer(&pointer[1..]).is_some(), "{pointer}");
                }
                if let Some(Value::String(id)) = members.get("operationId") {
                    assert!(ids.insert(id), "{id} twice");
                }
                todo.extend(members.values());
            }
            Value::Array(items) => todo.extend(items),
            _ => {}
        }
    }
}

#[test]
fn workers_come_by_pages_sorted_and_filtered() {
    let server = serve(FakeControl::well_with(1_000));
    let page = |query: &str| get(server.addresses()[0], &format!("/stats/workers{query}")).json();
    let names = |page: &Value| -> Vec<String> {
        let workers = page["workers"].as_array().unwrap().iter();
        workers
            .map(|worker| worker["name"].as_str().unwrap().trim_start_matches("farm.rig").to_owned())
            .collect()
    };
    let all = page("");
    assert_eq!(
        (all["total"].as_u64(), all["online"].as_u64(), all["offline"].as_u64()),
        (Some(1_000), Some(667), Some(333))
    );
    assert_eq!((names(&all).len(), &*names(&all)[0]), (100, "00000"));
    assert_eq!(names(&page("?offset=998")), ["00998", "00999"]);
    assert_eq!(names(&page("?offset=5000")), [""; 0]);
    assert_eq!(names(&page("?sort=hashrate&order=desc&limit=2")), ["00999", "00998"]);
    assert_eq!(names(&page("?search=RIG0012&limit=3&order=desc")), ["00129", "00128", "00127"]);
    assert_eq!(names(&page("?search=10.0.3.231")), ["00999"]);
    let offline = page("?state=offline&pool=b&limit=1000");
    assert_eq!(offline["total"], names(&offline).len());
    assert!(
        offline["workers"].as_array().unwrap().iter().all(|w| w["state"] == "offline" && w["pool"] == "b")
    );
    assert_eq!(names(&page("?sort=state&limit=1")), ["00000"], "online ones first");
    assert_eq!(names(&page("?sort=state&order=desc&limit=1")), ["00002"]);
    let sparks = page("?spark=1&limit=2");
    assert_eq!(sparks["workers"][1]["spark"].as_array().unwrap().len(), 30);
    assert!(all["workers"][0]["spark"].is_null());
}

#[test]
fn a_worker_has_its_own_page_whatever_its_name() {
    let control = FakeControl::well();
    control.change(|said| said.workers.all[0].name = "a/b%c d\u{e9}".into());
    let server = serve(control.clone());
    let address = server.addresses()[0];
    let detail = get(address, "/stats/workers/a%2Fb%25c%20d%C3%A9?span=1h").json();
    assert_eq!(detail["name"], "a/b%c d\u{e9}");
    assert_eq!(detail["series"]["hashrate"].as_array().unwrap().len(), 60);
    assert_eq!(get(address, "/stats/workers/nobody").status, 404);
    assert_eq!(get(address, "/stats/workers/%ff").status, 404);
    control.change(|said| said.keeps_series = false);
    assert!(get(address, "/stats/workers/farm.rig00001").json()["series"].is_null());
}

#[test]
fn what_is_asked_wrongly_is_refused_with_what_is_allowed() {
    let server = serve(FakeControl::well());
    let refusal = |target: &str| {
        let answer = get(server.addresses()[0], target);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        (answer.status, answer.json()["detail"].as_str().unwrap().to_owned())
    };
    assert_eq!(
        refusal("/stats/workers?limit=0"),
        (400, "limit: \"0\" is not allowed; allowed are whole numbers from 1 to 1000".into())
    );
    assert!(refusal("/stats/workers?sort=age").1.contains("last_share"));
    assert!(refusal("/stats?x=1").1.contains("not a parameter"));
    assert_eq!(refusal("/stats/series?pool=a&worker=b").0, 409);
    assert_eq!(refusal("/events?kinds=nothing").0, 400);
    assert_eq!(refusal("/stats/").0, 404);
    assert_eq!(refusal("//stats").0, 404);
    let answer = request(server.addresses()[0], "DELETE", "/bans", &[], "");
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, POST, HEAD")));
}

#[test]
fn a_head_request_gets_the_head_alone() {
    let server = serve(FakeControl::well());
    let mut client = Client::connect(server.addresses()[0]);
    client.send(
        "HEAD /config HTTP/1.1\r\nHost: localhost\r\n\r\nGET /config HTTP/1.1\r\nHost: localhost\r\n\r\n",
    );
    let head = client.until("\r\n\r\n");
    let answer = client.answer().unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(head.contains(&format!("Content-Length: {}\r\n", answer.body.len())), "{head}");
}

#[test]
fn unchanged_content_is_not_sent_again_and_text_is_compressed() {
    let server = serve(FakeControl::well());
    let address = server.addresses()[0];
    for path in ["/openapi.json", "/config"] {
        let first = get(address, path);
        let tag = first.header("etag").unwrap();
        let again = get_with(address, path, &[("If-None-Match", tag)]);
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
    }
    let plain = get(address, "/metrics");
    let packed = get_with(address, "/metrics", &[("Accept-Encoding", "br, gzip")]);
    assert_eq!((plain.header("content-encoding"), packed.header("content-encoding")), (None, Some("gzip")));
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&packed.body[..]), &mut text).unwrap();
    assert!(text.contains("adit_shares_total") && packed.body.len() < plain.body.len() / 3);
}

#[test]
fn commands_are_carried_out_audited_and_told() {
    let control = FakeControl::well();
    let (_server, address, authorization) = with_operator(control.clone());
    let cases = [
        ("/config/reload", "", 200, Command::Reload),
        ("/drain", "{}", 202, Command::Drain),
        ("/pools/a/enable", "", 200, Command::EnablePool { pool: "a".into() }),
        ("/pools/a%20b/disable", "", 200, Command::DisablePool { pool: "a b".into() }),
        ("/pools/a/drain", "", 200, Command::DrainPool { pool: "a".into() }),
        ("/workers/x.y/disconnect", "", 200, Command::DisconnectWorker { worker: "x.y".into() }),
        (
            "/workers/x.y/move",
            r#"{"to":"b"}"#,
            200,
            Command::MoveWorker {
                worker: "x.y".into(),
                to: Some("b".into()),
                hold_s: 3_600,
                reconnect: true,
            },
        ),
        (
            "/workers/x.y/move",
            "",
            200,
            Command::MoveWorker { worker: "x.y".into(), to: None, hold_s: 3_600, reconnect: true },
        ),
        (
            "/pools/a/move",
            r#"{"to":"b","hold_seconds":60.0,"reconnect":false}"#,
            200,
            Command::MovePool { pool: "a".into(), to: Some("b".into()), hold_s: 60, reconnect: false },
        ),
        ("/drill", "", 202, Command::Drill { pool: None, percent: 10, hold_s: 60, reconnect: false }),
        (
            "/drill",
            r#"{"pool":"a","percent":100,"hold_seconds":1,"reconnect":true}"#,
            202,
            Command::Drill { pool: Some("a".into()), percent: 100, hold_s: 1, reconnect: true },
        ),
        ("/drill", r#"{"action":"cancel"}"#, 202, Command::CancelDrill),
        (
            "/bans",
            r#"{"network":"192.0.2.9/24","seconds":5,"reason":"noise"}"#,
            200,
            Command::Ban { network: "192.0.2.0/24".into(), seconds: Some(5), reason: "noise".into() },
        ),
        ("/bans", r#"{"network":"::1","action":"lift"}"#, 200, Command::LiftBan { network: "::1".into() }),
    ];
    for (target, body, status, command) in cases {
        let answer = post(address, target, &authorization, body);
        assert_eq!(answer.status, status, "{target}: {}", answer.text());
        assert_eq!(answer.json()["summary"], format!("did {command:?}"));
        let record = control.read(|said| said.audited.last().cloned()).unwrap();
        assert_eq!((record.by.token.as_str(), record.command), ("ada", command), "{target}");
        assert!(record.by.source.ip().is_loopback() && record.result.is_ok());
    }
    wait_until("commands are told", || {
        let listed = get_with(address, "/events?kinds=command", &[("Authorization", &authorization)]).json();

        listed["events"].as_array().unwrap().len() == 14
    });
}

#[test]
fn what_the_engine_refuses_keeps_its_reason_and_is_audited_too() {
    let control = FakeControl::well();
    let (_server, address, authorization) = with_operator(control.clone());
    for (refusal, status) in [
        (Refusal::NotFound("no pool z".into()), 404),
        (Refusal::Conflict("already".into()), 409),
        (Refusal::Invalid("line 3".into()), 422),
        (Refusal::Unavailable("asleep".into()), 503),
    ] {
        control.change(|said| said.refusal = Some(refusal.clone()));
        let answer = post(address, "/config/reload", &authorization, "");
        assert_eq!(
            (answer.status, answer.json()["detail"].as_str().unwrap()),
            (status, &*refusal.to_string())
        );
        assert_eq!(control.read(|said| said.audited.last().unwrap().result.clone()), Err(refusal));
    }
}

#[test]
fn commands_with_a_wrong_body_do_nothing() {
    let control = FakeControl::well();
    let (_server, address, authorization) = with_operator(control.clone());
    for (target, body) in [
        ("/drain", "{\"now\":true}"),
        ("/drain", "[]"),
        ("/drain", "{"),
        ("/workers/a/move", "{\"to\":1}"),
        ("/workers/a/move", "{\"hold_seconds\":0}"),
        ("/pools/a/move", "{\"pool\":\"b\"}"),
        ("/pools/a/move", "{\"hold_seconds\":604801}"),
        ("/drill", "{\"percent\":0}"),
        ("/drill", "{\"percent\":101}"),
        ("/drill", "{\"hold_seconds\":0}"),
        ("/bans", "{\"network\":\"a\"}"),
        ("/bans", "{\"network\":\"::1\",\"seconds\":0}"),
        ("/bans", "{\"network\":\"::1\",\"reason\":\"a\\nb\"}"),
    ] {
        assert_eq!(post(address, target, &authorization, body).status, 422, "{target} {body}");
    }
    let headers = [("Authorization", authorization.as_str()), ("Content-Type", "text/plain")];
    assert_eq!(request(address, "POST", "/drill", &headers, "{}").status, 415);
    assert!(control.read(|said| said.audited.is_empty()));
}

#[test]
fn roles_hosts_and_origins_are_kept_over_the_wire() {
    let (viewer, viewing) = token("eve", Role::Viewer);
    let (operator, operating) = token("ada", Role::Operator);
    let control = FakeControl::well();
    let options = Options {
        tokens: vec![viewer, operator],
        hosts: vec!["Proxy.Farm".into()],
        origins: vec!["https://grafana.farm".into()],
        ..Options::default()
    };
    let server = serve_with(control.clone(), options);
    let address = server.addresses()[0];
    let status = |target: &str, headers: &[(&str, &str)]| get_with(address, target, headers).status;
    assert_eq!(status("/stats", &[]), 401);
    assert_eq!(get(address, "/stats").header("www-authenticate"), Some("Bearer realm=\"adit\""));
    assert_eq!(
        [status("/live", &[]), status("/openapi.json", &[]), status("/nowhere", &[])],
        [200, 200, 404]
    );
    assert_eq!(status("/stats", &[("Authorization", &viewing)]), 200);
    assert_eq!(post(address, "/drain", &viewing, "").status, 403);
    assert!(control.read(|said| said.audited.is_empty()));
    assert_eq!(post(address, "/drain", &operating, "").status, 202);
    let session = get_with(address, "/session", &[("Authorization", &viewing)]).json();
    assert_eq!(session, json!({ "token": "eve", "role": "viewer", "tokens_configured": true }));

    assert_eq!(status("/live", &[("Host", "evil.example")]), 421);
    assert_eq!(status("/live", &[("Host", "proxy.farm:9090")]), 200);
    assert_eq!(status("/live", &[("Origin", "https://evil.example")]), 403);
    let preflight = request(address, "OPTIONS", "/stats", &[("Origin", "https://grafana.farm")], "");
    assert_eq!(
        (preflight.status, preflight.header("access-control-allow-origin")),
        (204, Some("https://grafana.farm"))
    );
    let headers = [("Origin", "https://grafana.farm"), ("Authorization", viewing.as_str())];
    let answer = get_with(address, "/stats", &headers);
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (200, Some("https://grafana.farm"))
    );
    assert_eq!(get_with(address, "/live", &[]).header("access-control-allow-origin"), None);
}

#[test]
fn without_tokens_nobody_commands() {
    let control = FakeControl::well();
    let server = serve(control.clone());
    let address = server.addresses()[0];
    assert_eq!(post(address, "/drain", "Bearer x", "").status, 403);
    assert!(control.read(|said| said.audited.is_empty()));
    let session = get(address, "/session").json();
    assert_eq!(session, json!({ "token": null, "role": null, "tokens_configured": false }));
}

#[test]
fn secrets_stay_masked() {
    let server = serve(FakeControl::well());
    assert!(get(server.addresses()[0], "/config").json()["toml"].as_str().unwrap().contains("\"***\""));
}

#[test]
fn metrics_follow_the_workers() {
    let control = FakeControl::well();
    let (_server, address, authorization) = with_operator(control.clone());
    let text = || get_with(address, "/metrics", &[("Authorization", &authorization)]).text().to_owned();
    let first = text();
    assert!(first.contains("adit_worker_up{worker=\"farm.rig00000\"} 1"), "{first}");
    assert!(first.contains("adit_worker_up{worker=\"other\"} 1"), "three of five have their own");
    assert!(first.contains("adit_admin_requests_total{status=\"2xx\"}"));
    control.change(|said| {
        said.workers.all.truncate(1);
        said.workers.all[0].state = WorkerState::Offline;
        said.workers.all[0].last_seen_ms = 0;
    });
    wait_until("gone workers lose their series", || !text().contains("adit_worker_up{worker=\"farm"));
    assert!(text().contains("adit_worker_up{worker=\"other\"} 0"), "what the others counted stays");
}
