//! `adit config`: write a first file, find mistakes, show what is in force.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use adit_admin::{NewToken, Role, Token};
use clap::{Args, Subcommand};

use super::settings_flags::SettingsFlags;
use super::{EXIT_CONFIGURATION, EXIT_RUNTIME, fail, print};
use crate::config::{self, Flags, Sources};
use crate::pools::explain::{self, Question};

/// It may hold a password: not for everybody.
const FILE_MODE: u32 = 0o640;

/// Write, check and show configurations
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Write a commented file with every key and its default
    Init(InitFlags),
    /// Find all mistakes in file and environment; exit code 2 if there are any
    Check(CheckFlags),
    /// Show every setting in force and who set it; passwords are masked
    Show(Box<SettingsFlags>),
    /// Make a token for the admin API: prints it once, and the line for the configuration file
    Token(TokenFlags),
}

#[derive(Args, Debug)]
pub struct InitFlags {
    /// Write here, if there is no such file yet [default: stdout]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct CheckFlags {
    /// The file [default: the one that ADIT_CONFIG names, else none]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,

    /// Say which route and which pools this miner gets, while all pools work; may be given several times. Behind the
    /// address, ,listener=ADDRESS:PORT and ,path=PATH say how it comes in [default: by the first listener, without path]
    #[arg(long, value_name = "WORKER@ADDRESS")]
    explain: Vec<Question>,
}

#[derive(Args, Debug)]
pub struct TokenFlags {
    /// Whose it is; stands in the audit of every command
    #[arg(long, value_name = "NAME", value_parser = token_name)]
    name: String,

    /// viewer reads, operator also commands
    #[arg(long, value_name = "viewer|operator", value_parser = role)]
    role: Role,
}

/// Runs one of them.
pub fn execute(command: &ConfigCommand) -> ExitCode {
    match command {
        ConfigCommand::Init(InitFlags { output: None }) => print(config::init_text()),
        ConfigCommand::Init(InitFlags { output: Some(path) }) => init(path),
        ConfigCommand::Check(flags) => check(flags),
        ConfigCommand::Token(flags) => token(flags),
        ConfigCommand::Show(flags) => show(flags),
    }
}

fn check(CheckFlags { file, explain: questions }: &CheckFlags) -> ExitCode {
    let settings = match config::load(Sources::of_process(file.as_deref(), Flags::default())) {
        Ok(config) => config.settings,
        Err(errors) => return fail(EXIT_CONFIGURATION, &errors),
    };
    let mut text = "valid\n".to_owned();
    for question in questions {
        match explain::explain(&settings, question) {
            Ok(answer) => text.extend(["\n", &answer]),
            Err(error) => return fail(EXIT_CONFIGURATION, &format_args!("--explain: {error}")),
        }
    }
    print(&text)
}

fn init(path: &Path) -> ExitCode {
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(path)
        .and_then(|mut file| file.write_all(config::init_text().as_bytes()));
    match written {
        Ok(()) => print(&format!(
            "{0} is written. Set url and user in it, then: adit run --config {0}\n",
            path.display()
        )),
        Err(error) => fail(EXIT_RUNTIME, &format_args!("{}: {error}", path.display())),
    }
}

fn token(TokenFlags { name, role }: &TokenFlags) -> ExitCode {
    let new = match NewToken::generate() {
        Ok(new) => new,
        Err(error) => return fail(EXIT_RUNTIME, &format_args!("no random numbers: {error}")),
    };
    let entry = config::token_line(&Token { name: name.clone(), role: *role, hash: new.hash });
    print(&format!(
        "The token, shown this once; send it as \"Authorization: Bearer TOKEN\":\n  {}\n\
         For [admin] in the configuration file; where tokens stand already, add the entry to their list:\n  \
         tokens = [\"{entry}\"]\n",
        new.secret
    ))
}

fn token_name(text: &str) -> Result<String, String> {
    if config::is_token_name(text) {
        Ok(text.to_owned())
    } else {
        Err(format!("names of tokens are {}", config::TOKEN_NAME))
    }
}

fn role(text: &str) -> Result<Role, String> {
    let role = Role::ALL.into_iter().find(|role| role.label() == text);
    role.ok_or_else(|| "there are viewer and operator".to_owned())
}

fn show(flags: &SettingsFlags) -> ExitCode {
    match config::load(flags.sources()) {
        Ok(config) => print(&config::as_toml(&config.shown)),
        Err(errors) => fail(EXIT_CONFIGURATION, &errors),
    }
}
