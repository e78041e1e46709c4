//! What is said over the socket of a handover: three frames of a fixed size, and an invitation to it.
//!
//! ```text
//! instance    -> coordinator   "EngShm1\n"  token (32)
//! coordinator -> instance      "EngShm1\n"  bytes of the arena (u64 le)  bytes of the output (u64 le)   + 2 descriptors
//! instance    -> coordinator   1: both are mapped
//! ```
//!
//! Pure: what comes from outside is compared or read as two numbers, and everything else is refused.

use std::fmt;

/// What both sides begin with; the number is the version of all this.
const MAGIC: [u8; 8] = *b"EngShm1\n";
const TOKEN: usize = 32;
const NAME: usize = 16;

/// Bytes of a hello.
pub const HELLO_BYTES: usize = MAGIC.len() + TOKEN;
/// Bytes of an offer.
pub const OFFER_BYTES: usize = MAGIC.len() + 16;
/// What an instance says that has mapped both.
pub const MAPPED: u8 = 1;

/// What an instance proves itself with: nobody else was told it.
#[derive(Clone, Copy)]
pub struct Token(pub(super) [u8; TOKEN]);

impl Token {
    /// Whether both are the same; takes equally long whatever differs.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).fold(0, |differences, (a, b)| differences | (a ^ b)) == 0
    }
}

/// Where an instance can get the memory that it may map, and what it has to say there. As text it is 96
/// hexadecimal digits.
#[derive(Clone)]
pub struct Invitation {
    /// The name of an abstract socket; everybody on the host can read it.
    pub(super) name: [u8; NAME],
    pub(super) token: Token,
}

impl Invitation {
    /// From text; `None` when it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; NAME + TOKEN];
        if text.len() != 2 * bytes.len() {
            return None;
        }
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().as_chunks::<2>().0) {
            *byte = digit(digits[0])? << 4 | digit(digits[1])?;
        }
        let (name, token) = bytes.split_first_chunk::<NAME>()?;
        Some(Self { name: *name, token: Token(token.try_into().ok()?) })
    }

    /// The text that is sent to the instance, and to nobody else.
    #[must_use]
    pub fn text(&self) -> String {
        hex(&self.name) + &hex(&self.token.0)
    }
}

impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Invitation({}, a secret)", hex(&self.name))
    }
}

/// A byte as two digits, each of them.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)]))
        .collect()
}

fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    }
}

/// What an instance says first.
#[must_use]
pub fn hello(token: &Token) -> [u8; HELLO_BYTES] {
    let mut frame = [0; HELLO_BYTES];
    frame[..MAGIC.len()].copy_from_slice(&MAGIC);
    frame[MAGIC.len()..].copy_from_slice(&token.0);
    frame
}

/// The token of a hello.
#[must_use]
pub fn read_hello(frame: &[u8; HELLO_BYTES]) -> Option<Token> {
    let token = frame.strip_prefix(&MAGIC)?;
    Some(Token(token.try_into().ok()?))
}

/// What is offered with two descriptors: the bytes of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offered {
    /// Bytes of the arena.
    pub arena: u64,
    /// Bytes that the instance may write.
    pub output: u64,
}

impl Offered {
    /// As a frame.
    #[must_use]
    pub fn frame(self) -> [u8; OFFER_BYTES] {
        let mut frame = [0; OFFER_BYTES];
        frame[..MAGIC.len()].copy_from_slice(&MAGIC);
        frame[MAGIC.len()..][..8].copy_from_slice(&self.arena.to_le_bytes());
        frame[MAGIC.len() + 8..].copy_from_slice(&self.output.to_le_bytes());
        frame
    }

    /// From a frame; the sizes are as they were written, whatever they are.
    #[must_use]
    pub fn read(frame: &[u8]) -> Option<Self> {
        let (arena, output) = frame.strip_prefix(&MAGIC)?.split_first_chunk::<8>()?;
        Some(Self { arena: u64::from_le_bytes(*arena), output: u64::from_le_bytes(output.try_into().ok()?) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_written_is_read(name: [u8; NAME], token: [u8; TOKEN], arena: u64, output: u64) {
            let invitation = Invitation { name, token: Token(token) };
            let again = Invitation::parse(&invitation.text()).unwrap();
            prop_assert!(again.name == name && again.token.is(&Token(token)));
            prop_assert!(read_hello(&hello(&again.token)).unwrap().is(&again.token));
            let offered = Offered { arena, output };
            prop_assert_eq!(Offered::read(&offered.frame()), Some(offered));
        }

        #[test]
        fn other_text_is_no_invitation(text: String, digits in "[0-9a-f]{90,100}") {
            prop_assert!(Invitation::parse(&text).is_none());
            prop_assert_eq!(Invitation::parse(&digits).is_some(), digits.len() == 96);
        }
    }

    #[test]
    fn tokens_that_differ_in_a_bit_differ() {
        let token = Token([7; TOKEN]);
        for bit in 0..8 * TOKEN {
            let mut other = token;
            other.0[bit / 8] ^= 1 << (bit % 8);
            assert!(!token.is(&other));
        }
        assert!(!format!("{:?}", Invitation { name: [0; NAME], token }).contains("0707"), "a token is never shown");
    }

    #[test]
    fn frames_of_another_version_or_length_are_refused() {
        let frame = Offered { arena: 1, output: 2 }.frame();
        assert_eq!(Offered::read(&frame[..OFFER_BYTES - 1]), None);
        assert_eq!(Offered::read(&[&frame[..], &[0]].concat()), None);
        let mut other = frame;
        other[6] = b'2';
        assert_eq!(Offered::read(&other), None);
        let mut greeting = hello(&Token([0; TOKEN]));
        greeting[0] = b'e';
        assert!(read_hello(&greeting).is_none());
    }
}
