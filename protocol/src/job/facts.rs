//! What a job tells of the chain it is for: for display alone, so what cannot be read is left out.

use crate::hex;
use crate::message::Message;

/// Characters of hex before the coinbase's script: version, number of inputs, the outpoint, the script's length.
const BEFORE_SCRIPT_CHARS: usize = 2 * (4 + 1 + 36 + 1);
/// Where the number of inputs stands in them.
const INPUTS_COUNT: std::ops::Range<usize> = 8..10;
/// Longest height that is read: as many bytes as the signed numbers of Bitcoin's scripts have.
const HEIGHT_BYTES_MAX: usize = 4;
/// `OP_1` less one: heights 1 to 16 are pushed by one opcode.
const OP_RESERVED: u8 = 0x50;

/// Height and target of the block that a job is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChainFacts {
    /// Height of the block, from the coinbase (BIP 34).
    pub block_height: Option<u32>,
    /// The network's target, as blocks have it.
    pub nbits: Option<u32>,
}

impl ChainFacts {
    /// Those of a `mining.notify`.
    pub fn of(notify: &Message<'_>) -> Self {
        let text = |at| notify.param(at).strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\""));
        Self { block_height: text(2).and_then(height), nbits: text(6).and_then(hex::decode_u32) }
    }
}

/// The height that the script of a coinbase begins with.
fn height(coinbase1: &[u8]) -> Option<u32> {
    if coinbase1.get(INPUTS_COUNT)? != b"01" {
        return None;
    }
    let script = coinbase1.get(BEFORE_SCRIPT_CHARS..)?;
    let [opcode] = hex::decode_array(script.get(..2)?)?;
    match opcode {
        0 => Some(0),
        1.. if usize::from(opcode) <= HEIGHT_BYTES_MAX => {
            let mut bytes = [0; HEIGHT_BYTES_MAX];
            let count = usize::from(opcode);
            hex::decode(script.get(2..2 + 2 * count)?, bytes.get_mut(..count)?)?;
            let height = u32::from_le_bytes(bytes);
            // The topmost bit is the sign.
            i32::try_from(height).is_ok().then_some(height)
        }
        _ => opcode.checked_sub(OP_RESERVED).filter(|height| (1..=16).contains(height)).map(u32::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::push_height;

    fn coinbase1(script: &[u8]) -> String {
        let before = ["01000000", "01", &"00".repeat(32), "ffffffff", "2c"].concat();
        before + &hex::encode(script)
    }

    #[test]
    fn heights_are_read_as_they_are_pushed() {
        for expected in [0, 1, 16, 17, 127, 128, 255, 256, 32_768, 840_000, 8_388_608, i32::MAX as u32] {
            let text = coinbase1(&push_height(expected));
            assert_eq!(height(text.as_bytes()), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_height_is_none() {
        let whole = coinbase1(&push_height(840_000));
        assert!((0..whole.len()).all(|end| height(&whole.as_bytes()[..end]).is_none()));
        for script in [&[5, 1, 2, 3, 4, 5][..], &[4, 0, 0, 0, 0x80], &[0x61], &[0x50]] {
            assert_eq!(height(coinbase1(script).as_bytes()), None, "{script:?}");
        }
        assert_eq!(height(whole.replacen("0100000001", "0100000002", 1).as_bytes()), None, "two inputs");
        assert_eq!(height(whole.replace("03", "0g").as_bytes()), None);
    }
}
