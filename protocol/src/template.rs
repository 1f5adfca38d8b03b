//! From a block template to work for miners: the coinbase around the extranonces, the branches, the notify line.
//!
//! Pure construction. Where templates come from (a node, or a made-up chain for practice) is the caller's business.

use std::fmt::Write;

use thiserror::Error;

use crate::hash::Hash256;
use crate::hex;
use crate::job::{JobContent, swap_words};
use crate::limits::{EXTRANONCE1_BYTES_MAX, EXTRANONCE2_SIZE_MAX};
use crate::merkle;

/// Longest scriptSig of a coinbase, by consensus.
const SCRIPT_BYTES_MAX: usize = 100;
/// Longest data that one byte of length pushes.
const PUSH_BYTES_MAX: usize = 75;
/// `OP_1` less one: heights 1 to 16 are pushed by one opcode.
const OP_RESERVED: u8 = 0x50;

/// Why no coinbase can be built. The caller is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TemplateError {
    /// Height, tag and extranonces do not fit.
    #[error("the coinbase's scriptSig would have {0} bytes; at most {SCRIPT_BYTES_MAX} are allowed")]
    ScriptTooLong(usize),
    /// More outputs than one byte counts, or a script longer than that.
    #[error("more than 252 outputs, or an output script of more than 252 bytes")]
    Outputs,
}

/// One output of a coinbase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Satoshi.
    pub value: u64,
    /// The script that may spend it.
    pub script: Vec<u8>,
}

impl Output {
    /// The output that commits to the witnesses (BIP 141).
    pub fn witness_commitment(commitment: &Hash256) -> Self {
        Self { value: 0, script: [&[0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed][..], &commitment.0].concat() }
    }
}

/// What a coinbase transaction is made of. It is built without witness: that is what miners hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coinbase {
    /// Height of the block (BIP 34).
    pub height: u32,
    /// Who made it: visible text between height and extranonces.
    pub tag: Vec<u8>,
    /// Bytes of both extranonces together.
    pub extranonces_bytes: usize,
    /// Who is paid, in order.
    pub outputs: Vec<Output>,
}

impl Coinbase {
    /// The transaction before and behind the extranonces.
    pub fn halves(&self) -> Result<(Vec<u8>, Vec<u8>), TemplateError> {
        let mut script = push_height(self.height);
        let script_bytes = script.len() + 1 + self.tag.len() + 1 + self.extranonces_bytes;
        let fits = self.tag.len() <= PUSH_BYTES_MAX
            && self.extranonces_bytes <= EXTRANONCE1_BYTES_MAX + EXTRANONCE2_SIZE_MAX;
        if script_bytes > SCRIPT_BYTES_MAX || !fits {
            return Err(TemplateError::ScriptTooLong(script_bytes));
        }
        script.push(self.tag.len() as u8);
        script.extend_from_slice(&self.tag);
        script.push(self.extranonces_bytes as u8);

        let mut coinbase1 = vec![2, 0, 0, 0, 1]; // version 2, one input
        coinbase1.extend_from_slice(&[0; 32]);
        coinbase1.extend_from_slice(&[0xff; 4]);
        coinbase1.push(script_bytes as u8);
        coinbase1.extend_from_slice(&script);

        let mut coinbase2 = vec![0xff; 4]; // sequence
        coinbase2.push(short_len(self.outputs.len())?);
        for output in &self.outputs {
            coinbase2.extend_from_slice(&output.value.to_le_bytes());
            coinbase2.push(short_len(output.script.len())?);
            coinbase2.extend_from_slice(&output.script);
        }
        coinbase2.extend_from_slice(&[0; 4]); // lock time
        Ok((coinbase1, coinbase2))
    }
}

/// A length in the one-byte form of Bitcoin's variable integers.
fn short_len(len: usize) -> Result<u8, TemplateError> {
    u8::try_from(len).ok().filter(|&len| len < 0xfd).ok_or(TemplateError::Outputs)
}

/// The script that pushes a height as Bitcoin Core's `CScript() << height` does: the shortest form, signed.
pub fn push_height(height: u32) -> Vec<u8> {
    match height {
        0 => vec![0],
        1..=16 => vec![OP_RESERVED + height as u8],
        _ => {
            // The top bit of the last byte is the sign.
            let len = (1..5).find(|len| u64::from(height) >> (8 * len - 1) == 0).unwrap_or(5);
            let bytes = u64::from(height).to_le_bytes();
            [&[len as u8], bytes.get(..len).unwrap_or(&bytes)].concat()
        }
    }
}

/// One job with everything in it, owned: what `mining.notify` tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// Hash of the previous block.
    pub previous: Hash256,
    /// The coinbase before the extranonces.
    pub coinbase1: Vec<u8>,
    /// The coinbase behind the extranonces.
    pub coinbase2: Vec<u8>,
    /// Merkle branches from the leaves up, internal order.
    pub branches: Vec<[u8; 32]>,
    /// Block version. Bits that miners may roll should be zero: pools and firmware combine them in different ways.
    pub version: u32,
    /// Network target in compact form.
    pub nbits: u32,
    /// Time of the template.
    pub ntime: u32,
}

impl Work {
    /// Work on top of `previous` with these other transactions; their ids in internal order.
    pub fn new(
        previous: Hash256,
        coinbase: &Coinbase,
        txids: &[Hash256],
        version: u32,
        nbits: u32,
        ntime: u32,
    ) -> Result<Self, TemplateError> {
        let (coinbase1, coinbase2) = coinbase.halves()?;
        let branches = merkle::branches(txids);
        Ok(Self { previous, coinbase1, coinbase2, branches, version, nbits, ntime })
    }

    /// The same for the share check.
    pub fn content(&self) -> JobContent<'_> {
        JobContent {
            coinbase1: &self.coinbase1,
            coinbase2: &self.coinbase2,
            branches: &self.branches,
            previous: &self.previous.0,
            version: self.version,
            nbits: self.nbits,
            ntime: self.ntime,
        }
    }

    /// The notify that tells miners, without LF. `job_id` holds no character that JSON would escape.
    pub fn notify_line(&self, job_id: &str, is_clean: bool) -> String {
        debug_assert!(job_id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\'));
        let mut line = format!(r#"{{"id":null,"method":"mining.notify","params":["{job_id}",""#);
        let mut previous = self.previous.0;
        swap_words(&mut previous);
        hex::encode_append(&previous, &mut line);
        for half in [&self.coinbase1, &self.coinbase2] {
            line.push_str(r#"",""#);
            hex::encode_append(half, &mut line);
        }
        line.push_str(r#"",["#);
        for (n, branch) in self.branches.iter().enumerate() {
            line.push_str(if n == 0 { "\"" } else { ",\"" });
            hex::encode_append(branch, &mut line);
            line.push('"');
        }
        let Self { version, nbits, ntime, .. } = self;
        // Writing into a String cannot fail.
        let _ = write!(line, r#"],"{version:08x}","{nbits:08x}","{ntime:08x}",{is_clean}]}}"#);
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::sha256d;
    use crate::job::{JobStore, is_clean};
    use crate::limits::{BRANCHES_COUNT_MAX, LINE_PADDING};
    use crate::message::Line;
    use crate::parse::Parser;
    use proptest::prelude::*;

    fn coinbase() -> Coinbase {
        let wtxids = [1, 2, 3, 4].map(|n| sha256d(format!("fact sheet tx {n}").as_bytes()));
        let pay = Output { value: 312_500_000, script: [&[0x00, 0x14][..], &[0x11; 20]].concat() };
        Coinbase {
            height: 840_000,
            tag: b"/factsheet/".to_vec(),
            extranonces_bytes: 12,
            outputs: vec![pay, Output::witness_commitment(&merkle::witness_commitment(&wtxids))],
        }
    }

    #[test]
    fn a_coinbase_is_built_around_the_extranonces() {
        let (coinbase1, coinbase2) = coinbase().halves().unwrap();
        assert_eq!(
            hex::encode(&coinbase1),
            "02000000010000000000000000000000000000000000000000000000000000000000000000ffffffff1d0340d10c0b2f66616374\
             73686565742f0c"
        );
        assert_eq!(
            hex::encode(&coinbase2),
            "ffffffff02205fa0120000000016001411111111111111111111111111111111111111110000000000000000266a24aa21a9ed3c\
             dc21321862fcd4d347a666f2a9508990d0efc5e4e7c717918baec523231aa400000000"
        );
    }

    #[test]
    fn heights_are_pushed_as_bitcoin_core_compares_them() {
        for (height, script) in [
            (0, "00"),
            (1, "51"),
            (16, "60"),
            (17, "0111"),
            (127, "017f"),
            (128, "028000"),
            (255, "02ff00"),
            (256, "020001"),
            (32_767, "02ff7f"),
            (32_768, "03008000"),
            (840_000, "0340d10c"),
            (8_388_608, "0400008000"),
            (u32::MAX, "05ffffffff00"),
        ] {
            assert_eq!(hex::encode(&push_height(height)), script, "{height}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let longest = Coinbase { tag: vec![b'x'; 75], ..coinbase() };
        assert!(longest.halves().is_ok());
        assert_eq!(
            Coinbase { tag: vec![b'x'; 76], ..coinbase() }.halves(),
            Err(TemplateError::ScriptTooLong(94))
        );
        assert_eq!(
            Coinbase { extranonces_bytes: 20, ..longest }.halves(),
            Err(TemplateError::ScriptTooLong(101))
        );
        let huge = Output { value: 1, script: vec![0; 253] };
        assert_eq!(Coinbase { outputs: vec![huge], ..coinbase() }.halves(), Err(TemplateError::Outputs));
        let tiny = Output { value: 1, script: Vec::new() };
        assert_eq!(Coinbase { outputs: vec![tiny; 253], ..coinbase() }.halves(), Err(TemplateError::Outputs));
    }

    /// Whether the notify of `work`, parsed, kept and looked up, is `work` again.
    fn reads_back(work: &Work, clean: bool) -> bool {
        let line = work.notify_line("6f3a", clean);
        let mut bytes = line.clone().into_bytes();
        bytes.resize(line.len() + LINE_PADDING, 0);
        let mut parser = Parser::new();
        let notify = parser.parse(Line::new(&mut bytes, line.len()).unwrap()).unwrap();
        let mut store = JobStore::default();
        let job = store.keep(&notify).unwrap().unwrap();
        store.content(&job) == Some(work.content())
            && notify.param(0) == b"\"6f3a\""
            && is_clean(&notify) == clean
    }

    #[test]
    fn a_notify_reads_back_as_the_work_it_tells() {
        let txids: Vec<_> = (0..5u8).map(|n| sha256d(&[n])).collect();
        for (txids, clean) in [(&txids[..], true), (&[], false)] {
            let work = Work::new(sha256d(b"tip"), &coinbase(), txids, 0x2000_0000, 0x1703_4219, 0x6625_2f80)
                .unwrap();
            assert!(reads_back(&work, clean));
        }
    }

    #[test]
    fn the_previous_hash_is_told_in_notify_order() {
        let previous =
            Hash256::from_display("000000000002d01c1fccc21636b607dfd930d31d01c3a62104612a1719011250")
                .unwrap();
        let work = Work::new(previous, &coinbase(), &[], 0x2000_0000, 0x1703_4219, 1).unwrap();
        let told = "\"1901125004612a1701c3a621d930d31d36b607df1fccc2160002d01c00000000\"";
        assert!(work.notify_line("1", true).contains(told));
    }

    proptest! {
        #[test]
        fn any_work_survives_its_way_over_the_wire(
            previous: [u8; 32], coinbase1: Vec<u8>, coinbase2: Vec<u8>,
            branches in prop::collection::vec(any::<[u8; 32]>(), 0..=BRANCHES_COUNT_MAX),
            numbers: [u32; 3], clean: bool,
        ) {
            let [version, nbits, ntime] = numbers;
            let previous = Hash256(previous);
            let work = Work { previous, coinbase1, coinbase2, branches, version, nbits, ntime };
            prop_assert!(reads_back(&work, clean));
        }
    }
}
