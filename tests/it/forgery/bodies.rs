//! What follows the header: chunks changed, moved, cut, added; padding; segments of every other kind in the place of an object.

use portcullis::seal::{
    Binding, BlockPlace, Checksums, Entry, PlainLen, Table, seal_append, seal_block, seal_footer, seal_part,
};

use super::{CHUNK, LEN, Scene, plain};
use crate::world::adversary::{End, Lie};
use crate::world::object::Object;
use crate::world::theft::{Theft, segment};

const SEALED: usize = CHUNK + 16;
const HEADER: usize = 704;

#[tokio::test(flavor = "multi_thread")]
async fn no_chunk_can_change() {
    let scene = Scene::set().await;
    for (byte, released) in [
        (HEADER, 0),
        (HEADER + SEALED - 1, 0),
        (HEADER + SEALED, CHUNK),
        (HEADER + 3 * SEALED - 17, 2 * CHUNK),
        (HEADER + 3 * SEALED, 3 * CHUNK),
        (HEADER + 3 * SEALED + 115, 3 * CHUNK),
    ] {
        for bit in [0, 7] {
            let object = scene.victim.flipped(byte, bit);
            scene
                .refuses_after(&format!("bit {bit} of byte {byte}"), object, released)
                .await;
        }
    }
    scene.was_held_against_the_key(true);
    scene.is_undisturbed(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_stay_in_their_place_and_in_their_object() {
    let scene = Scene::set().await;
    scene.world.acme.put("other", &plain(LEN, 2)).await;
    let other = scene.world.stored("acme", "other").await;
    let last = HEADER + 3 * SEALED..scene.victim.body.len();
    let with = |at: std::ops::Range<usize>, from: &Object, source: std::ops::Range<usize>| {
        let mut body = scene.victim.body.clone();
        body[at].copy_from_slice(&from.body[source]);
        scene.victim.with_body(body)
    };
    let mut swapped = scene.victim.body.clone();
    swapped[Object::chunk(1)].copy_from_slice(&scene.victim.body[Object::chunk(2)]);
    swapped[Object::chunk(2)].copy_from_slice(&scene.victim.body[Object::chunk(1)]);
    let doubled = with(Object::chunk(2), &scene.victim, Object::chunk(1));
    let spliced = |index| with(Object::chunk(index), &other, Object::chunk(index));
    for (what, object, released) in [
        ("two chunks swapped", scene.victim.with_body(swapped), CHUNK),
        ("a chunk twice", doubled, 2 * CHUNK),
        ("another object's first chunk", spliced(0), 0),
        ("another object's third chunk", spliced(2), 2 * CHUNK),
        (
            "another object's last chunk",
            with(last.clone(), &other, last.clone()),
            3 * CHUNK,
        ),
        (
            "another object's chunks",
            with(HEADER..last.end, &other, HEADER..last.end),
            0,
        ),
        ("another object", other.clone(), 0),
    ] {
        scene.refuses_after(what, object, released).await;
    }
    scene.is_undisturbed(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_version_spliced_in_is_refused_and_put_back_whole_is_the_older_version() {
    let scene = Scene::set().await;
    let newer = plain(LEN, 3);
    scene.world.acme.put("victim", &newer).await;
    let now = scene.world.stored("acme", "victim").await;
    let mut body = now.body.clone();
    body[Object::chunk(0)].copy_from_slice(&scene.victim.body[Object::chunk(0)]);
    scene.refuses("a chunk of the older version", now.with_body(body)).await;
    let mut body = now.body.clone();
    body[..HEADER].copy_from_slice(&scene.victim.body[..HEADER]);
    scene.refuses("the older version's header", now.with_body(body)).await;
    // The format's stated limit: nothing tells which of two genuine versions is the latest.
    scene.world.claim("acme", "victim", scene.victim.clone());
    assert!(scene.world.acme.get("victim").await.is(&scene.plain));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_byte_can_be_cut_off_or_added() {
    let scene = Scene::set().await;
    let body = &scene.victim.body;
    let full = body.len();
    let short = [
        1,
        2,
        16,
        17,
        100,
        116,
        117,
        SEALED,
        SEALED + 1,
        2 * SEALED,
        full - HEADER - 16,
    ];
    let lengths = [
        0,
        1,
        8,
        135,
        136,
        HEADER - 1,
        HEADER,
        HEADER + 1,
        HEADER + 15,
        HEADER + 16,
        HEADER + 17,
    ];
    for len in short.iter().map(|less| full - less).chain(lengths) {
        scene
            .refuses(&format!("cut at {len}"), scene.victim.with_body(&body[..len]))
            .await;
    }
    for more in [1, 2, 15, 16, 17, CHUNK - 100, SEALED - 116, SEALED, SEALED + 1, full] {
        let mut zeros = body.clone();
        zeros.resize(full + more, 0);
        scene
            .refuses(&format!("{more} zeros more"), scene.victim.with_body(zeros))
            .await;
        let own: Vec<u8> = body
            .iter()
            .chain(body.iter().skip(HEADER).cycle().take(more))
            .copied()
            .collect();
        scene
            .refuses(&format!("{more} of its own bytes again"), scene.victim.with_body(own))
            .await;
    }
    scene.is_undisturbed(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_size_that_no_sealed_object_has_is_refused() {
    let scene = Scene::of(CHUNK).await;
    // One byte of plaintext more would have begun another chunk: between the two sizes lies no size of the law.
    for more in 1..=17 {
        let mut body = scene.victim.body.clone();
        body.resize(body.len() + more, 0);
        scene
            .refuses(&format!("S(P) + {more}"), scene.victim.with_body(body))
            .await;
    }
    let less = scene.victim.body.len() - 1;
    scene
        .refuses("S(P) - 1", scene.victim.with_body(&scene.victim.body[..less]))
        .await;
    scene.is_undisturbed(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn padding_is_zeros_and_all_there_before_the_last_byte_is_released() {
    let scene = Scene::of((5 << 20) + 1).await;
    let full = scene.victim.body.len();
    let padding = full - 1792..full;
    for byte in [padding.start, padding.start + 900, padding.end - 1] {
        let object = scene.victim.flipped(byte, 3);
        scene
            .refuses_after(&format!("byte {byte}"), object, scene.plain.len() - 1)
            .await;
    }
    // Announced, but never sent.
    let victim = scene.victim.clone();
    let cut = move |asked: &_| victim.answer(asked).cut(full - 1, End::Broken);
    scene.world.lie("acme", "victim", Lie::instead(cut));
    let answer = scene.world.acme.get("victim").await;
    assert!(!answer.whole && answer.body.len() < scene.plain.len());
    assert!(scene.plain.starts_with(&answer.body));
    scene.is_undisturbed(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_is_never_taken_for_whole() {
    let scene = Scene::set().await;
    for (len, released) in [
        (0, 0),
        (HEADER - 1, 0),
        (HEADER, 0),
        (HEADER + SEALED - 1, 0),
        (2 * SEALED, CHUNK),
    ] {
        let victim = scene.victim.clone();
        let cut = move |asked: &_| victim.answer(asked).cut(len, End::Broken);
        scene.world.lie("acme", "victim", Lie::instead(cut));
        let answer = scene.world.acme.get("victim").await;
        if released == 0 {
            assert_eq!(answer.status(), 503, "{len}: the client may try again");
        }
        assert!(!answer.is(&scene.plain[..answer.body.len()]), "{len}: not whole");
        assert!(answer.status() == 503 || answer.body.len() <= released, "{len}");
    }
    assert_eq!(scene.tampered(), 0, "a broken connection is no tampering");
    scene.is_undisturbed(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_of_other_kinds_are_no_objects_though_the_tenants_own_key_sealed_them() {
    let scene = Scene::of(200_000).await;
    let theft = Theft::from(&scene.world, "acme").await;
    let (dek, tenant, envelope) = (&theft.dek, theft.tenant.as_str(), &theft.envelope);
    let (bucket, words) = (theft.bucket.as_str(), plain(200_000, 1));
    let len = PlainLen(words.len() as u64);
    let place = theft.place("victim");

    // Even bound as a whole object is: the kind alone tells.
    for binding in [Binding::whole(&place), Binding::part(bucket, "victim", "upload", 1)] {
        let (header, sealer) = seal_part(dek, tenant, binding, len, envelope).unwrap();
        scene
            .refuses("a part", Object::sealed(segment(&header, sealer, &words)))
            .await;
    }
    let at = BlockPlace {
        container: bucket,
        name: "victim",
        client: b"block-0001",
        time_ms: 1_767_225_600_000,
    };
    let (_, header, sealer) = seal_block(dek, tenant, &at, len, envelope).unwrap();
    scene
        .refuses("a block", Object::sealed(segment(&header, sealer, &words)))
        .await;
    let (header, sealer) = seal_append(dek, tenant, Binding::append(bucket, "victim", 0, 0), len, envelope).unwrap();
    let appended = segment(&header, sealer, &words);
    scene
        .refuses("an appended block", Object::sealed(appended.clone()))
        .await;
    let to_size = scene.victim.body.len();
    scene
        .refuses(
            "an appended block, cut to size",
            Object::sealed(appended[..to_size].to_vec()),
        )
        .await;

    let part = Entry {
        binding: Binding::part(bucket, "victim", "upload", 1),
        plain_len: PlainLen(5 << 20),
        number: 1,
    };
    let table = Table::new(Some("upload"), vec![part], Checksums::default()).unwrap();
    let footer = seal_footer(dek, tenant, &place, &table, envelope)
        .unwrap()
        .footer()
        .to_vec();
    let (chunks, header) = footer.split_at(footer.len() - HEADER);
    scene
        .refuses("a footer", Object::sealed([header, chunks].concat()))
        .await;
    // In the size of the object that it ends.
    let mut sized = [header, chunks].concat();
    sized.resize(usize::try_from(PlainLen(5 << 20).sealed().unwrap().0).unwrap(), 0);
    scene
        .refuses("a footer, as long as its object", Object::sealed(sized))
        .await;

    // What it looks like when nothing is wrong.
    scene.world.claim("acme", "victim", theft.whole("victim", &words));
    assert!(scene.world.acme.get("victim").await.is(&words));
    scene
        .refuses("sealed for another name", theft.whole("witness", &words))
        .await;
    scene.is_undisturbed(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_never_sealed_is_not_returned() {
    let scene = Scene::set().await;
    let text = b"just some text, as it lay there before the gate".to_vec();
    scene.refuses("plaintext", scene.victim.with_body(text)).await;
    // Nearly every length is also a sealed object's: the magic tells.
    for len in [720, 721, 1000, 70_000] {
        scene
            .refuses("plaintext", scene.victim.with_body(vec![b'x'; len]))
            .await;
        scene.refuses("zeros", scene.victim.with_body(vec![0; len])).await;
    }
    scene.is_undisturbed(1).await;
}
