//! Vectors with every intermediate value, each field turned wrong, and a naive check to compare with.

use proptest::prelude::*;

use super::*;
use crate::limits::LINE_PADDING;
use crate::message::Line;
use crate::parse::Parser;

/// A share as it stands on the wire.
#[derive(Clone)]
struct Vector {
    previous: &'static str,
    coinbase1: &'static str,
    coinbase2: &'static str,
    extranonce1: &'static str,
    branches: &'static [&'static str],
    version: u32,
    nbits: u32,
    mask: u32,
    /// extranonce2, ntime, nonce, version bits
    submit: [&'static str; 4],
}

/// Block 100000: real proof of work. Its scriptSig of 8 bytes is split into the extranonces.
const BLOCK_100000: Vector = Vector {
    previous: "50120119172a610421a6c3011dd330d9df07b63616c2cc1f1cd0020000000000",
    coinbase1: "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff08",
    coinbase2: "ffffffff0100f2052a010000004341041b0e8c2567c12536aa13357b79a073dc4444acb83c4ec7a0e2f99dd745751\
                6c5817242da796924ca4e99947d087fedf9ce467cb9f7c6287078f801df276fdf84ac00000000",
    extranonce1: "044c8604",
    branches: &[
        "c40297f730dd7b5a99567eb8d27b78758f607507c52292d02d4031895b52f2ff",
        "49aef42d78e3e9999c9e6ec9e1dddd6cb880bf3b076a03be1318ca789089308e",
    ],
    version: 1,
    nbits: 0x1b04_864c,
    mask: 0,
    submit: ["1b020602", "4d1b2237", "10572b0f", ""],
};

/// Composed and mined for this test: version rolling, BIP 34 height 840000, witness commitment, 4 + 8 bytes of extranonce.
const ROLLED: Vector = Vector {
    previous: "06e533fd1ada86391f3f6c343204b0d278d4aaec1c0b20aa27ba030000000000",
    coinbase1: "02000000010000000000000000000000000000000000000000000000000000000000000000ffffffff1d0340d10c0b2f\
                6661637473686565742f0c",
    coinbase2: "ffffffff02205fa0120000000016001411111111111111111111111111111111111111110000000000000000266a24aa\
                21a9ed3cdc21321862fcd4d347a666f2a9508990d0efc5e4e7c717918baec523231aa400000000",
    extranonce1: "f000000a",
    branches: &[
        "52549687c0dd22f85975a6fbc7e8e3666a404aac29c30832e068e9f23bf74246",
        "d2e68a0c33e70cdf7eebae944f42490661ab17e65e736ecd372ece33de570c91",
        "537a3acae155957279149b889ca500ad56b4315710654bf518d24f66220ea61a",
    ],
    version: 0x2000_0000,
    nbits: 0x1703_4219,
    mask: 0x1fff_e000,
    submit: ["0000000000000007", "66252f80", "00534aa3", "00c0e000"],
};

fn bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    hex::decode_append(text.as_bytes(), &mut bytes).unwrap();
    bytes
}

fn solution(submit: &[&str; 4]) -> Result<Solution, Malformed> {
    let size = submit[0].len() / 2;
    let [extranonce2, ntime, nonce, bits] = submit;
    decode(&format!(r#""{extranonce2}","{ntime}","{nonce}""#), bits, size)
}

fn decode(params: &str, bits: &str, extranonce2_size: usize) -> Result<Solution, Malformed> {
    let bits = if bits.is_empty() { String::new() } else { format!(r#","{bits}""#) };
    let line = format!(r#"{{"id":4,"method":"mining.submit","params":["a.b","6f3a",{params}{bits}]}}"#);
    let mut buffer = line.clone().into_bytes();
    buffer.resize(line.len() + LINE_PADDING, 0);
    Solution::decode(
        &Parser::new().parse(Line::new(&mut buffer, line.len()).unwrap()).unwrap(),
        extranonce2_size,
    )
}

impl Vector {
    fn look<T>(&self, difficulty: f64, look: impl FnOnce(&ShareCheck<'_>, &Solution) -> T) -> T {
        let branches: Vec<[u8; 32]> =
            self.branches.iter().map(|branch| hex::decode_array(branch.as_bytes()).unwrap()).collect();
        let check = ShareCheck {
            job: JobContent {
                coinbase1: &bytes(self.coinbase1),
                coinbase2: &bytes(self.coinbase2),
                branches: &branches,
                previous: &hex::decode_array(self.previous.as_bytes()).unwrap(),
                version: self.version,
                nbits: self.nbits,
                ntime: 0,
            },
            extranonce1: &bytes(self.extranonce1),
            version_mask: self.mask,
            target: Target::from_difficulty(difficulty).unwrap(),
        };
        look(&check, &solution(&self.submit).unwrap())
    }

    #[expect(clippy::redundant_closure_for_method_calls, reason = "the method alone is not general enough")]
    fn verdict(&self, difficulty: f64) -> LocalVerdict {
        self.look(difficulty, |check, solution| check.check(solution))
    }
}

fn close(a: f64, b: f64) -> bool {
    (a / b - 1.0).abs() < 1e-14
}

#[test]
fn block_100000_is_a_share_and_a_block() {
    BLOCK_100000.look(1.0, |check, solution| {
        let job = check.job;
        let coinbase =
            sha256d_of([job.coinbase1, check.extranonce1, solution.extranonce2(), job.coinbase2]);
        assert_eq!(coinbase.to_string(), "8c14f0db3df150123e6f3dbbf30f8b955a8249b62ac1d1ff16284aefa3d06d87");
        assert_eq!(
            hex::encode(&coinbase.0),
            "876dd0a3ef4a2816ffd1c12ab649825a958b0ff3bb3d6f3e1250f13ddbf0148c"
        );
        assert_eq!(
            hex::encode(&merkle::root(coinbase, &job.branches[..1]).0),
            "15b88c5107195bf09eb9da89b83d95b3d070079a3c5c5d3d17d0dcd873fbdacc"
        );
        let root = check.merkle_root(solution);
        assert_eq!(hex::encode(&root.0), "6657a9252aacd5c0b2940996ecff952228c3067cc38d4885efb5a4ac4247e9f3");
        let header = header(job.version, job.previous, &root, solution.ntime, job.nbits, solution.nonce);
        assert_eq!(
            hex::encode(&header),
            "0100000050120119172a610421a6c3011dd330d9df07b63616c2cc1f1cd00200000000006657a9252aacd5c0b2940996ecff9522\
             28c3067cc38d4885efb5a4ac4247e9f337221b4d4c86041b0f2b5710"
        );
    });
    let verdict = BLOCK_100000.verdict(17583.0);
    assert_eq!(verdict.hash.to_string(), "000000000003ba27aa200b1cecaad478d2b00432346c3f1f3986da1afd33e506");
    assert!(close(verdict.share_difficulty, 17_583.056_276_040_857));
    assert!(verdict.meets && verdict.is_block);
    let verdict = BLOCK_100000.verdict(17584.0);
    assert!(!verdict.meets && verdict.is_block, "a block may miss the share target when that is harder");
}

#[test]
fn a_nonce_in_the_wrong_byte_order_is_no_share() {
    let mut vector = BLOCK_100000;
    vector.submit[2] = "0f2b5710";
    let verdict = vector.verdict(1e-9);
    assert!(verdict.hash.to_string().starts_with("599a9dc13add052b"));
    assert!(close((verdict.share_difficulty * 1e12).round(), 665.0), "{}", verdict.share_difficulty);
    assert!(!verdict.meets && !verdict.is_block);
}

#[test]
fn a_share_with_rolled_version_bits_is_rebuilt() {
    ROLLED.look(0.001, |check, solution| {
        let job = check.job;
        let coinbase =
            sha256d_of([job.coinbase1, check.extranonce1, solution.extranonce2(), job.coinbase2]);
        assert_eq!(
            hex::encode(&coinbase.0),
            "df6ce5534d1541e53ede1e290dd9ee57bc882fad6ed409b0ab2f913079718c7b"
        );
        let root = check.merkle_root(solution);
        assert_eq!(hex::encode(&root.0), "432c006237e8d86bd8693f4c273c1be11d4f409a7c9bb594b8fc3ab09d1cc161");
        let version = versions(job.version, check.version_mask, solution.version_bits)[0];
        assert_eq!(version, 0x20c0_e000);
        assert_eq!(
            hex::encode(&header(version, job.previous, &root, solution.ntime, job.nbits, solution.nonce)),
            "00e0c02006e533fd1ada86391f3f6c343204b0d278d4aaec1c0b20aa27ba030000000000432c006237e8d86bd8693f4c273c1be1\
             1d4f409a7c9bb594b8fc3ab09d1cc161802f256619420317a34a5300"
        );
    });
    let verdict = ROLLED.verdict(0.001);
    assert_eq!(verdict.hash.to_string(), "00000042fa6ebd402b54b51a7b041a7f7171dab4ab79275cd008098fca68dd27");
    assert!(close(verdict.share_difficulty, 0.014_929_991_566_859_658));
    assert!(verdict.meets && !verdict.is_block);
}

#[test]
fn without_its_version_bits_the_share_is_bad() {
    let mut vector = ROLLED;
    vector.submit[3] = "";
    assert!(vector.verdict(0.001).share_difficulty < 2.4e-10);
}

#[test]
fn every_field_of_a_share_counts() {
    type Change = fn(&mut Vector);
    let changes: [(&str, Change); 11] = [
        ("previous", |v| v.previous = BLOCK_100000.previous),
        ("coinbase1", |v| v.coinbase1 = BLOCK_100000.coinbase1),
        ("coinbase2", |v| v.coinbase2 = BLOCK_100000.coinbase2),
        ("extranonce1", |v| v.extranonce1 = "f000000b"),
        ("branches", |v| v.branches = &[]),
        ("version", |v| v.version = 0x2000_0001),
        ("nbits", |v| v.nbits += 1),
        ("extranonce2", |v| v.submit[0] = "0000000000000008"),
        ("ntime", |v| v.submit[1] = "66252f81"),
        ("nonce", |v| v.submit[2] = "00534aa4"),
        ("bits", |v| v.submit[3] = "00c0c000"),
    ];
    for (name, change) in changes {
        let mut vector = ROLLED;
        change(&mut vector);
        assert!(!vector.verdict(0.001).meets, "{name}");
    }
}

#[test]
fn a_job_with_bits_inside_the_mask_is_judged_by_whichever_formula_fits() {
    // The version that was hashed is 20c0e000 each time.
    for (job, bits, formula) in [
        (0x3fff_e000, "00c0e000", "BIP 310 replaces"),
        (0x2080_e000, "00c00000", "ckpool ORs"),
        (0x2100_2000, "01c0c000", "btcpool XORs"),
        (0x2000_0000, "20c0e000", "bmminer sends the whole version"),
    ] {
        let mut vector = ROLLED;
        (vector.version, vector.submit[3]) = (job, bits);
        assert!(vector.verdict(0.001).meets, "{formula}");
    }
    let mut vector = ROLLED;
    (vector.version, vector.submit[3]) = (0x2100_0000, "00c0e000");
    vector.mask = 0x00ff_e000;
    assert!(
        !vector.verdict(0.001).meets,
        "no formula clears a bit outside the mask that the miner did not send"
    );
    // A sixth param though nothing was configured: ckpool applies it.
    vector = ROLLED;
    vector.mask = 0;
    assert!(vector.verdict(0.001).meets);
}

#[test]
fn malformed_params_are_named() {
    let good = r#""0000000000000007","66252f80","00534aa3""#;
    assert!(decode(good, "", 8).is_ok());
    for (params, bits, size, error) in [
        (good, "", 4, Malformed::Extranonce2),
        (good, "", 16, Malformed::Extranonce2),
        (good, "", 17, Malformed::Extranonce2),
        (good, "", usize::MAX, Malformed::Extranonce2),
        (r#""000000000000000x","66252f80","00534aa3""#, "", 8, Malformed::Extranonce2),
        (r#"7,"66252f80","00534aa3""#, "", 8, Malformed::Extranonce2),
        (r#""0000000000000007","66252f8","00534aa3""#, "", 8, Malformed::Ntime),
        (r#""0000000000000007",1713713024,"00534aa3""#, "", 8, Malformed::Ntime),
        (r#""0000000000000007","66252f80","000534aa3""#, "", 8, Malformed::Nonce),
        (r#""0000000000000007","66252f80""#, "", 8, Malformed::Nonce),
        (good, "c0e000", 8, Malformed::VersionBits),
        (good, "0x00c0e0", 8, Malformed::VersionBits),
    ] {
        assert_eq!(decode(params, bits, size), Err(error), "{params} {bits} {size}");
    }
    assert_eq!(decode(r#""","66252F80","00534AA3""#, "00C0E000", 0).unwrap().extranonce2(), b"");
}

proptest! {
    #[test]
    fn the_check_equals_a_naive_one(
        halves in (prop::collection::vec(any::<u8>(), 0..200), prop::collection::vec(any::<u8>(), 0..200)),
        extranonces in (prop::collection::vec(any::<u8>(), 0..9), prop::collection::vec(any::<u8>(), 0..17)),
        branches in prop::collection::vec(any::<[u8; 32]>(), 0..14),
        previous: [u8; 32], numbers: [u32; 4], bits: u32,
    ) {
        let [version, ntime, nbits, nonce] = numbers;
        let (mask, job_version) = (0x1fff_e000, version & !0x1fff_e000);
        let submit = [
            hex::encode(&extranonces.1), format!("{ntime:08x}"), format!("{nonce:08x}"), format!("{:08x}", bits & mask),
        ];
        let found = solution(&[&submit[0], &submit[1], &submit[2], &submit[3]]).unwrap();
        let verdict = ShareCheck {
            job: JobContent {
                coinbase1: &halves.0, coinbase2: &halves.1, branches: &branches, previous: &previous,
                version: job_version, nbits, ntime: 0,
            },
            extranonce1: &extranonces.0,
            version_mask: mask,
            target: Target::MAX,
        }.check(&found);

        let mut root = sha256d(&[&halves.0[..], &extranonces.0, &extranonces.1, &halves.1].concat());
        for branch in &branches {
            root = sha256d(&[root.0, *branch].concat());
        }
        let header = [
            &(job_version | (bits & mask)).to_le_bytes()[..], &previous, &root.0,
            &ntime.to_le_bytes(), &nbits.to_le_bytes(), &nonce.to_le_bytes(),
        ].concat();
        prop_assert_eq!(verdict.hash, sha256d(&header));
        prop_assert!(verdict.meets);
    }
}
