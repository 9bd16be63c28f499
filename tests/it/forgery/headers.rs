//! The header of a whole object, bit by bit.

use super::Scene;

const CORE: std::ops::Range<usize> = 0..136;
/// Of the envelope: algorithm, CMK, version, length of the wrapped DEK.
const NAMES: std::ops::Range<usize> = 136..171;
const WRAPPED: std::ops::Range<usize> = 171..427;
const ZEROS: std::ops::Range<usize> = 427..683;
const ORIGIN: std::ops::Range<usize> = 683..699;
const LAST_ZEROS: std::ops::Range<usize> = 699..704;

#[tokio::test(flavor = "multi_thread")]
async fn no_bit_of_a_core_can_change() {
    let scene = Scene::of(100).await;
    for byte in CORE {
        for bit in 0..8 {
            scene
                .refuses(&format!("bit {bit} of byte {byte}"), scene.victim.flipped(byte, bit))
                .await;
        }
    }
    scene.is_undisturbed(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_bit_of_an_envelope_can_change() {
    let scene = Scene::of(100).await;
    let every_bit = NAMES
        .chain(ORIGIN)
        .chain(LAST_ZEROS)
        .flat_map(|byte| (0..8).map(move |bit| (byte, bit)));
    // One bit of every other byte: all of them are under the same origin, or must be zeros.
    let one_bit = WRAPPED.chain(ZEROS).zip((0..8).cycle());
    for (byte, bit) in every_bit.chain(one_bit) {
        scene
            .refuses(&format!("bit {bit} of byte {byte}"), scene.victim.flipped(byte, bit))
            .await;
    }
    scene.is_undisturbed(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_known_value_of_a_field_is_taken_for_another() {
    let scene = Scene::set().await;
    let field = |at: usize, bytes: &[u8]| {
        let mut body = scene.victim.body.clone();
        body[at..at + bytes.len()].copy_from_slice(bytes);
        scene.victim.with_body(body)
    };
    for version in [0, 2, 0xff] {
        scene.refuses("another version", field(8, &[version])).await;
    }
    for kind in [0, 2, 3, 4, 5, 6, 0xff] {
        scene.refuses("another kind", field(9, &[kind])).await;
    }
    for count in [1_u32, 10_000, u32::MAX] {
        scene.refuses("segments counted", field(12, &count.to_be_bytes())).await;
        let mut footer = vec![5, 0, 0];
        footer.extend_from_slice(&count.to_be_bytes());
        scene.refuses("a footer of so many segments", field(9, &footer)).await;
    }
    let len = scene.plain.len() as u64;
    for length in [0, len - 1, len + 1, 1 << 48, (1 << 48) + 1, u64::MAX] {
        scene.refuses("another length", field(16, &length.to_be_bytes())).await;
    }
    for algorithm in [0, 2, 3] {
        scene.refuses("another algorithm", field(136, &[algorithm])).await;
    }
    for length in [0_u16, 255, 257, 512, 513, u16::MAX] {
        scene
            .refuses("another wrapped length", field(169, &length.to_be_bytes()))
            .await;
    }
    scene.refuses("no origin", field(683, &[0; 16])).await;
    scene.is_undisturbed(1).await;
}
