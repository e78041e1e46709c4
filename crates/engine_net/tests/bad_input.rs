//! Bytes that a broken or hostile sender could send, each with the refusal that it gets.

#![allow(clippy::unwrap_used, reason = "tests")]

use bytes::Bytes;
use engine_component::ComponentId;
use engine_net::messages::register::Register;
use engine_net::messages::rejected::RejectReason;
use engine_net::messages::{Message, command::Command, heartbeat::Heartbeat, query::QueryRequest};
use engine_net::parcel::{
    Assembler, ColumnManifest, Expect, Limits, Parcel, PartManifest, PartSource, Place, Progress, Refusal,
    ResultManifest, SectionError,
};
use engine_net::strict::DecodeError;
use engine_net::{ChunkKind, ChunkPrefix};

const MANIFEST: &[u8] = &[0x80];

fn prefix(chunk: u16, chunks: u16) -> ChunkPrefix {
    ChunkPrefix { kind: ChunkKind::Result, attempt: 0, job: 1, epoch: 1, tick: 1, chunk, chunks, instance: 1 }
}

fn chunk(number: u16, of: u16, body: &[u8]) -> Bytes {
    let mut payload = prefix(number, of).encode().to_vec();
    if number == 0 {
        payload.extend_from_slice(MANIFEST);
    }
    payload.extend_from_slice(body);
    payload.into()
}

fn parcel(body: &[u8]) -> Parcel {
    Parcel::of_chunks([chunk(0, 1, body)], Limits::default()).unwrap()
}

/// The bytes of a section that starts behind the one-byte manifest.
fn section(kind: u8, part: u16, column: u16, first_row: u32, rows: u32, data: &[u8], bitmap: Option<&[u8]>) -> Vec<u8> {
    let mut bytes = vec![if bitmap.is_some() { 0x98 } else { 0x97 }, kind, 0xcd];
    bytes.extend(part.to_be_bytes());
    bytes.push(0xcd);
    bytes.extend(column.to_be_bytes());
    bytes.push(0xce);
    bytes.extend(first_row.to_be_bytes());
    bytes.push(0xce);
    bytes.extend(rows.to_be_bytes());
    let data_at = 33 + bytes.len() + 2 + 3;
    let pad = data_at.next_multiple_of(8) - data_at;
    bytes.extend([0xc4, pad as u8]);
    bytes.extend(vec![0; pad]);
    bytes.push(0xc5);
    bytes.extend((data.len() as u16).to_be_bytes());
    bytes.extend(data);
    if let Some(bitmap) = bitmap {
        bytes.extend([0xc4, bitmap.len() as u8]);
        bytes.extend(bitmap);
    }
    bytes
}

fn refusal_of(body: &[u8]) -> SectionError {
    match parcel(body).sections().next() {
        Some(Err(Refusal::Section { reason, .. })) => reason,
        other => panic!("{other:?}"),
    }
}

fn part(rows: u32) -> PartManifest {
    let column = |column, stride| ColumnManifest { column, stride, place: Place::Inline };
    PartManifest {
        source: PartSource::Query,
        number: 0,
        archetype: vec![ComponentId::of_name("test.A")],
        first_row: 0,
        rows,
        entities: Some(Place::Inline),
        columns: vec![column(0, 4), column(1, 0)],
        changed: 1,
    }
}

fn result(rows: u32, body: &[u8]) -> Result<(), Refusal> {
    Expect::result(&[part(rows)], |_, column| column == 0, vec![0]).verify(&parcel(body))
}

#[test]
fn a_claim_of_four_billion_rows_is_a_wrong_length() {
    for kind in [0, 1, 2, 3, 6] {
        let bytes = section(kind, 0, 0, 0, u32::MAX, &[1, 2, 3, 4], None);
        assert!(matches!(refusal_of(&bytes), SectionError::Length | SectionError::Bitmap), "kind {kind}");
    }
    for kind in [4, 5] {
        let bytes = section(kind, 0, 0, 0, u32::MAX, &[1, 2, 3, 4], Some(&[1]));
        assert_eq!(refusal_of(&bytes), SectionError::Bitmap);
    }
    // A manifest that claims them is refused when the rows are not there.
    let honest = parcel(&section(0, 0, 0, 0, 1, &[1, 2, 3, 4], None));
    assert!(matches!(Expect::input(&[part(u32::MAX)], &[]).verify(&honest), Err(Refusal::Length { .. })));
}

#[test]
fn claims_that_no_bytes_bear_witness_to_are_bounded() {
    let empty = parcel(&[]);
    let verify = |part: PartManifest| Expect::input(&[part], &[]).verify(&empty).unwrap_err().code();
    let bare = PartManifest { entities: None, columns: vec![], changed: 0, ..part(u32::MAX) };
    assert_eq!(verify(bare.clone()), RejectReason::TooLarge);
    assert_eq!(verify(PartManifest { rows: 1, changed: u16::MAX, ..bare.clone() }), RejectReason::TooLarge);
    assert_eq!(Expect::input(&[PartManifest { rows: 1000, ..bare }], &[]).verify(&empty), Ok(()));
}

#[test]
fn rows_past_two_to_the_32_are_refused() {
    assert_eq!(refusal_of(&section(0, 0, 0, u32::MAX, 2, &[1, 2], None)), SectionError::Rows);
    assert_eq!(refusal_of(&section(0, 0, 0, 0, 0, &[], None)), SectionError::Rows);
}

#[test]
fn every_cut_of_a_section_is_refused() {
    let good = section(4, 0, 0, 0, 2, &[1, 2, 3, 4], Some(&[1, 0, 0, 0, 0, 0, 0, 0]));
    assert!(parcel(&good).sections().all(|section| section.is_ok()));
    for end in 1..good.len() {
        assert_eq!(refusal_of(&good[..end]), SectionError::Truncated, "{end}");
    }
}

#[test]
fn garbage_is_no_section() {
    assert_eq!(refusal_of(b"hello"), SectionError::Shape);
    assert_eq!(refusal_of(&[0x80]), SectionError::Shape);
    assert_eq!(refusal_of(&section(9, 0, 0, 0, 1, &[1], None)), SectionError::Kind(9));
    assert_eq!(refusal_of(&section(4, 0, 0, 0, 1, &[1], None)), SectionError::Shape);
    assert_eq!(refusal_of(&section(0, 0, 0, 0, 1, &[1], Some(&[0; 8]))), SectionError::Shape);
}

#[test]
fn data_that_is_not_aligned_is_refused() {
    // The header ends at 51, the data starts behind 2 bytes for the padding's head and 3 for its own.
    let with_pad = |pad: &[u8]| {
        let mut bytes = section(0, 0, 0, 0, 1, &[1, 2, 3, 4], None);
        assert_eq!(bytes[18..20], [0xc4, 0]);
        bytes[19] = pad.len() as u8;
        bytes.splice(20..20, pad.iter().copied());
        bytes
    };
    assert_eq!(refusal_of(&with_pad(&[0])), SectionError::Alignment);
    assert_eq!(refusal_of(&with_pad(&[0; 8])), SectionError::Alignment);
    // A first row of one byte instead of five leaves four bytes for the padding.
    let short = |pad: &[u8]| {
        let mut bytes = with_pad(pad);
        bytes.splice(8..13, [0]);
        bytes
    };
    assert!(parcel(&short(&[0; 4])).sections().all(|section| section.is_ok()));
    assert_eq!(refusal_of(&short(&[0, 0, 1, 0])), SectionError::Alignment);
}

#[test]
fn documents_with_bad_offsets_are_refused() {
    let documents = |offsets: &[u32], bytes: usize| {
        let mut data: Vec<u8> = offsets.iter().flat_map(|offset| offset.to_le_bytes()).collect();
        data.extend(vec![0xc0; bytes]);
        section(1, 0, 1, 0, offsets.len() as u32 - 1, &data, None)
    };
    assert!(parcel(&documents(&[0, 1, 3], 3)).sections().all(|section| section.is_ok()));
    for bad in [&[1, 2, 3][..], &[0, 2, 1], &[0, 1, 4], &[0, 1, 2], &[0, u32::MAX, 3]] {
        assert_eq!(refusal_of(&documents(bad, 3)), SectionError::Offsets, "{bad:?}");
    }
    assert_eq!(refusal_of(&section(1, 0, 1, 0, 3, &[0; 12], None)), SectionError::Length);
}

#[test]
fn bitmaps_with_stray_bits_or_none_are_refused() {
    assert_eq!(refusal_of(&section(3, 0, 0, 0, 3, &[8, 0, 0, 0, 0, 0, 0, 0], None)), SectionError::Bitmap);
    assert_eq!(refusal_of(&section(3, 0, 0, 0, 65, &[1, 0, 0, 0, 0, 0, 0, 0], None)), SectionError::Bitmap);
    assert_eq!(refusal_of(&section(3, 0, 0, 7, 3, &[1, 0, 0, 0, 0, 0, 0, 0], None)), SectionError::Bitmap);
    assert_eq!(refusal_of(&section(4, 0, 0, 0, 3, &[1], Some(&[0; 8]))), SectionError::Bitmap);
    assert_eq!(refusal_of(&section(4, 0, 0, 0, 3, &[], Some(&[1, 0, 0, 0, 0, 0, 0, 0]))), SectionError::Length);
    assert_eq!(refusal_of(&section(4, 0, 0, 0, 3, &[1, 2, 3], Some(&[3, 0, 0, 0, 0, 0, 0, 0]))), SectionError::Length);
}

#[test]
fn a_result_with_one_row_too_many_is_a_wrong_length() {
    assert_eq!(result(2, &section(0, 0, 0, 0, 2, &[0; 8], None)), Ok(()));
    let error = result(2, &section(0, 0, 0, 1, 2, &[0; 8], None)).unwrap_err();
    assert_eq!(error.code(), RejectReason::WrongLength);
    assert_eq!(error.to_string(), "part 0, column 0: rows is 3 instead of 2");
}

#[test]
fn a_wrong_stride_is_a_wrong_length() {
    let error = result(2, &section(0, 0, 0, 0, 2, &[0; 16], None)).unwrap_err();
    assert_eq!(error.to_string(), "part 0, column 0: bytes of a row is 8 instead of 4");
}

#[test]
fn columns_parts_and_streams_that_may_not_be_written_are_refused() {
    for bad in [
        section(0, 0, 1, 0, 2, &[0; 8], None),
        section(0, 0, 7, 0, 2, &[0; 8], None),
        section(0, 1, 0, 0, 2, &[0; 8], None),
        section(1, 0, 0, 0, 1, &[0; 8], None),
        section(2, 0, 0, 0, 1, &[0; 8], None),
        section(3, 0, 0, 0, 1, &[0; 8], None),
        section(6, 1, 0, 0, 1, &[0], None),
    ] {
        assert_eq!(result(2, &bad).unwrap_err().code(), RejectReason::UndeclaredColumn);
    }
}

#[test]
fn rows_that_come_twice_are_refused() {
    let once = section(0, 0, 0, 0, 2, &[0; 8], None);
    let mut body = once.clone();
    // The second section stands elsewhere, so it needs other padding.
    let at = 33 + once.len();
    let mut again = once[..18].to_vec();
    let data_at = at + 18 + 2 + 3;
    let pad = data_at.next_multiple_of(8) - data_at;
    again.extend([0xc4, pad as u8]);
    again.extend(vec![0; pad]);
    again.extend([0xc5, 0, 8]);
    again.extend([0; 8]);
    body.extend(again);
    let error = result(2, &body).unwrap_err();
    assert_eq!(error.to_string(), "part 0, column 0: the first row is 0 instead of 2");
}

#[test]
fn streams_have_exactly_the_declared_bytes() {
    let error = result(2, &section(6, 0, 0, 0, 4, &[0; 4], None)).unwrap_err();
    assert_eq!(error.code(), RejectReason::WrongLength);
    assert!(result(2, &section(6, 0, 0, 4, 4, &[0; 4], None)).is_err());
}

#[test]
fn chunks_come_out_of_order_doubled_and_not_at_all() {
    let chunks: Vec<Bytes> = (0..4).map(|number| chunk(number, 4, &[])).collect();
    let mut assembler = Assembler::new(&prefix(2, 4), Limits::default()).unwrap();
    assert_eq!(assembler.push(chunks[2].clone()), Ok(Progress::Need(3)));
    assert!(assembler.has_gap());
    assert_eq!(assembler.push(chunks[0].clone()), Ok(Progress::Need(2)));
    assert_eq!(assembler.push(chunks[2].clone()), Ok(Progress::Duplicate));
    assert_eq!(assembler.missing().collect::<Vec<_>>(), [1, 3]);
    assert!(assembler.clone().finish().is_none(), "a parcel with a gap is never given out");
    assert_eq!(assembler.push(chunks[1].clone()), Ok(Progress::Need(1)));
    assert!(!assembler.has_gap());
    assert_eq!(assembler.push(chunks[3].clone()), Ok(Progress::Complete));
    assert_eq!(assembler.push(chunks[3].clone()), Ok(Progress::Duplicate));
    assert_eq!(assembler.duplicates(), 2);
    assert_eq!(assembler.finish().unwrap().chunks(), &chunks);
}

#[test]
fn chunks_that_contradict_are_refused_and_change_nothing() {
    let mut assembler = Assembler::new(&prefix(0, 2), Limits::default()).unwrap();
    assembler.push(chunk(0, 2, &[])).unwrap();
    let other = ChunkPrefix { attempt: 1, ..prefix(1, 2) };
    let foreign = Bytes::copy_from_slice(&other.encode());
    assert!(matches!(assembler.push(foreign), Err(Refusal::Foreign { .. })));
    assert_eq!(assembler.push(chunk(1, 3, &[])), Err(Refusal::Count { expected: 2, got: 3 }));
    assert_eq!(assembler.push(chunk(0, 2, &[1])), Err(Refusal::Contradiction(0)));
    assert!(matches!(assembler.push(Bytes::from_static(b"short")), Err(Refusal::Prefix(_))));
    assert_eq!(assembler.push(chunk(1, 2, &[])), Ok(Progress::Complete));
}

#[test]
fn parcels_over_the_limits_are_refused() {
    let limits = Limits { chunks: 10, bytes: 100 };
    assert!(Assembler::new(&prefix(0, 11), limits).is_err());
    let mut assembler = Assembler::new(&prefix(0, 10), limits).unwrap();
    assembler.push(chunk(0, 10, &[])).unwrap();
    let error = assembler.push(chunk(1, 10, &[0; 60])).unwrap_err();
    assert_eq!(error.code(), RejectReason::TooLarge);
    assert_eq!(assembler.bytes(), 33);
}

#[test]
fn a_claim_of_65535_chunks_costs_nothing() {
    let mut assembler = Assembler::new(&prefix(65_533, 65_535), Limits::default()).unwrap();
    assembler.push(chunk(65_533, 65_535, &[])).unwrap();
    assert_eq!(assembler.bytes(), 32);
    assert_eq!(assembler.missing().count(), 65_534);
}

#[test]
fn manifests_are_decoded_strictly() {
    let of = |body: &[u8]| {
        let mut payload = prefix(0, 1).encode().to_vec();
        payload.extend_from_slice(body);
        Parcel::of_chunks([Bytes::from(payload)], Limits::default()).unwrap()
    };
    let refusal = |body: &[u8]| of(body).manifest::<ResultManifest>().unwrap_err();
    assert_eq!(refusal(&[]), Refusal::Manifest(DecodeError::Truncated));
    assert_eq!(refusal(&[0xdf, 0xff, 0xff, 0xff, 0xff]), Refusal::Manifest(DecodeError::Truncated));
    assert!(matches!(refusal(&[0x80]), Refusal::Manifest(DecodeError::Malformed(_))));
    assert!(matches!(refusal(&[0xc1]), Refusal::Manifest(DecodeError::Malformed(_))));
    let mut deep = vec![0x91; 10_000];
    deep.push(0xc0);
    assert_eq!(refusal(&deep), Refusal::Manifest(DecodeError::TooDeep(32)));
    assert!(matches!(of(&deep).sections().next(), Some(Err(Refusal::Manifest(DecodeError::TooDeep(32))))));
}

#[test]
fn control_messages_refuse_garbage_bombs_and_depth() {
    fn all<M: Message + std::fmt::Debug>() {
        let mut deep = vec![0x91; 10_000];
        deep.push(0xc0);
        let mut nils = vec![0xdd, 0x00, 0x00, 0xf0, 0x00];
        nils.extend(vec![0xc0; 0xf000]);
        let long = vec![0xc0; M::LIMIT + 1];
        for bad in
            [&b"garbage"[..], &[], &[0xc1], &[0xdf, 0xff, 0xff, 0xff, 0xff], &deep, &nils, &long, &[0x80], &[0x90]]
        {
            assert!(M::decode(bad).is_err());
        }
    }
    all::<Register>();
    all::<Heartbeat>();
    all::<Command>();
    all::<QueryRequest>();
}
