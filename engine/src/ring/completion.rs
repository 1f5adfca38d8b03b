//! What the kernel reports back, as typed values: no raw results, no raw descriptors leave the ring.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;

use adit_protocol::event::{Side, Wire};

use super::buffers::Buffer;

/// Whom an operation belongs to. The owner chooses it; it comes back with the completion.
///
/// The generation tells a slot's present owner from an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// Slot of the owner.
    pub index: u32,
    /// How often the slot was used before; only the low [`Token::GENERATION_BITS`] bits come back.
    pub generation: u32,
    /// Which of the owner's three sockets.
    pub side: Side,
}

impl Token {
    /// Bits of the generation that survive the way through the kernel.
    pub const GENERATION_BITS: u32 = 26;
    /// The largest generation.
    pub const GENERATION_MAX: u32 = (1 << Self::GENERATION_BITS) - 1;

    /// 60 bits: side, generation, index.
    pub(super) fn to_bits(self) -> u64 {
        let side = match self.side {
            Side::Miner => 0,
            Side::Pool(Wire::A) => 1,
            Side::Pool(Wire::B) => 2,
        };
        u64::from(self.index) << 28 | u64::from(self.generation & Self::GENERATION_MAX) << 2 | side
    }

    /// The reverse of [`Token::to_bits`].
    pub(super) fn from_bits(bits: u64) -> Self {
        Self {
            index: (bits >> 28) as u32,
            generation: (bits >> 2) as u32 & Self::GENERATION_MAX,
            side: match bits & 3 {
                1 => Side::Pool(Wire::A),
                2 => Side::Pool(Wire::B),
                _ => Side::Miner,
            },
        }
    }
}

/// An error number of the kernel, always positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

impl Errno {
    /// No provided buffer was free.
    pub const NO_BUFFERS: Self = Self(libc::ENOBUFS);
    /// The operation was cancelled.
    pub const CANCELLED: Self = Self(libc::ECANCELED);
    /// The peer is gone.
    pub const BROKEN_PIPE: Self = Self(libc::EPIPE);

    /// Whether what failed elsewhere failed since descriptors or memory ran out.
    pub fn tells_exhaustion(error: &io::Error) -> bool {
        error.raw_os_error().is_some_and(|code| Self(code).is_exhaustion())
    }

    /// Whether descriptors or memory ran out: worth another try later.
    pub fn is_exhaustion(self) -> bool {
        matches!(self.0, libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        io::Error::from_raw_os_error(self.0).fmt(f)
    }
}

/// One report of the kernel.
#[derive(Debug)]
pub enum Completion {
    /// A listener has a new connection, or failed.
    Accepted {
        /// The listener.
        token: Token,
        /// The connection, close-on-exec.
        socket: Result<OwnedFd, Errno>,
        /// Whether more will come without arming again.
        armed: bool,
    },
    /// A connect ended.
    Connected {
        /// The socket.
        token: Token,
        /// Whether it stands.
        result: Result<(), Errno>,
    },
    /// Something came in.
    Received {
        /// The socket.
        token: Token,
        /// What.
        received: Received,
        /// Whether more will come without arming again.
        armed: bool,
    },
    /// An owned send ended.
    Sent {
        /// The socket.
        token: Token,
        /// The bytes, given back.
        bytes: Vec<u8>,
        /// Whether all of them were sent.
        result: Result<(), Errno>,
    },
    /// Somebody signalled the eventfd that the ring watches.
    Woken,
    /// The ring's timer rang.
    TimerRang,
}

/// What a receive brought.
#[derive(Debug)]
pub enum Received {
    /// Bytes, to be given back by [`super::Ring::give_back`].
    Bytes(Buffer),
    /// The peer closed its sending half.
    EndOfStream,
    /// It failed.
    Failed(Errno),
}

/// A send of the turn that did not go out whole. It was not the peer's turn to read, or the connection broke.
#[derive(Debug)]
pub struct FailedSend {
    /// The socket.
    pub token: Token,
    /// What was not sent.
    pub unsent: Vec<u8>,
    /// Why the connection takes nothing more; `None` when it is only full.
    pub broken: Option<Errno>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_the_way_through_the_kernel() {
        for index in [0, 1, 77, u32::MAX] {
            for generation in [0, 1, Token::GENERATION_MAX] {
                for side in Side::ALL {
                    let token = Token { index, generation, side };
                    assert!(token.to_bits() < 1 << 60);
                    assert_eq!(Token::from_bits(token.to_bits()), token);
                }
            }
        }
    }
}
