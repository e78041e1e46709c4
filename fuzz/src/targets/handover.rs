//! What is said over the socket on which shared memory is handed over.

use engine_net::shm::Invitation;
use engine_net::shm::greeting::{self, Offered};

use crate::Seeds;
use crate::script::{Script, Writer};

const INVITATION: &str =
    "0123456789abcdef0123456789abcdef00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

pub(super) fn run(input: &[u8]) {
    let mut script = Script::new(input);
    let text = script.text();
    if let Some(invitation) = Invitation::parse(&text) {
        assert_eq!(invitation.text(), text, "an invitation is written as it was read");
    }
    if let Ok(frame) = script.block().try_into()
        && let Some(token) = greeting::read_hello(frame)
    {
        assert_eq!(greeting::hello(&token), *frame, "a hello is written as it was read");
    }
    let frame = script.block();
    if let Some(offered) = Offered::read(frame) {
        assert_eq!(offered.frame(), frame, "an offer is written as it was read");
    }
}

pub(super) fn seeds() -> Seeds {
    let hello = [b"EngShm1\n", &[7; 32][..]].concat();
    let offer = Offered { arena: 1 << 30, output: 1 << 20 }.frame();
    vec![("good", Writer::default().block(INVITATION).block(hello).block(offer).end())]
}
