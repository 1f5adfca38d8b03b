//! An operator with a token, who asks and commands by HTTP.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use adit_admin::NewToken;
use serde_json::Value;

use super::PATIENCE;

/// The two tokens that Adit is started with.
pub struct Tokens {
    operator: NewToken,
    viewer: NewToken,
}

/// Somebody who knows where Adit answers, and a secret.
pub struct Operator {
    admin: SocketAddr,
    secret: String,
}

impl Default for Tokens {
    fn default() -> Self {
        let token = || NewToken::generate().expect("random numbers");
        Self { operator: token(), viewer: token() }
    }
}

impl Tokens {
    /// The secret of who may only look.
    pub fn viewing(&self) -> String {
        self.viewer.secret.clone()
    }

    /// The setting by which Adit knows both.
    pub fn setting(&self) -> String {
        format!("admin.tokens=ada:operator:{},eve:viewer:{}", self.operator.hash, self.viewer.hash)
    }

    /// Who may command.
    pub fn operator(&self, admin: SocketAddr) -> Operator {
        Operator { admin, secret: self.operator.secret.clone() }
    }

    /// Who may only look.
    pub fn viewer(&self, admin: SocketAddr) -> Operator {
        Operator { admin, secret: self.viewer.secret.clone() }
    }
}

impl Operator {
    /// A page.
    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask("GET", path, "");
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// A command: the status code, and what was answered.
    #[track_caller]
    pub fn post(&self, path: &str, body: &str) -> (u16, Value) {
        self.ask("POST", path, body)
    }

    /// A command that must work.
    #[track_caller]
    pub fn command(&self, path: &str, body: &str) -> Value {
        let (status, answer) = self.post(path, body);
        assert!(matches!(status, 200 | 202), "{path}: {status} {answer}");
        answer
    }

    /// The last events of this kind, oldest first.
    #[track_caller]
    pub fn events(&self, kind: &str) -> Vec<Value> {
        self.get(&format!("/events?kinds={kind}"))["events"].as_array().expect("a list").clone()
    }

    #[track_caller]
    fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let Self { admin, secret } = self;
        let mut stream = TcpStream::connect(admin).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout set");
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\nauthorization: Bearer {secret}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).expect("asked");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a body");
        let status = head.split_whitespace().nth(1).and_then(|code| code.parse().ok()).expect("a status");
        (status, serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}")))
    }
}
