//! Multipart objects: parts swapped, of another upload, of another object; footers and tables that are not this object's; counts,
//! sizes, ends. All of it genuine somewhere.

use portcullis::seal::{Checksums, Entry, HEADER_LEN, PlainLen};

use super::{Scene, plain};
use crate::world::multipart::{MIB5, Part, completed};
use crate::world::object::Object;
use crate::world::theft::Theft;

/// Two parts of 5 MiB and one of a bit, under `victim`.
struct Upload {
    scene: Scene,
    theft: Theft,
    parts: Vec<Part>,
    object: Object,
}

const LAST: usize = 70_001;
/// Where the second part lies.
const PART: usize = MIB5 + 704 + 16 * (MIB5 / 65_536);

impl Upload {
    async fn set() -> Self {
        let mut scene = Scene::of(2 * MIB5 + LAST).await;
        let theft = Theft::from(&scene.world, "acme").await;
        let parts = parts(&theft, "victim", "upload", &scene.plain);
        let object = theft.tied("victim", "upload", &parts, &Checksums::default());
        // The same plaintext as a whole object: what is refused is refused with the honest one in the store behind the lie.
        scene.plain = plain(2 * MIB5 + LAST, 1);
        Self {
            scene,
            theft,
            parts,
            object,
        }
    }

    fn body(&self, parts: [&Part; 3], tail: &[u8]) -> Object {
        let segments = parts.map(|part| part.sealed.as_slice()).concat();
        completed([&segments, tail].concat())
    }

    fn tail(&self) -> &[u8] {
        &self.object.body[self.object.body.len() - self.end()..]
    }

    /// Zeros and footer, in bytes.
    fn end(&self) -> usize {
        self.object.body.len() - self.parts.iter().map(|part| part.sealed.len()).sum::<usize>()
    }

    /// Refused before a byte of it comes, as a whole, by range and by part; and with no help from what is remembered.
    async fn refuses(&self, what: &str, object: &Object) {
        self.refuses_after(what, object, 0).await;
        for range in ["0-9", "70000-70009", "-10"] {
            self.scene
                .refuses_range(&format!("{what}, {range}"), object.clone(), range)
                .await;
        }
    }

    async fn refuses_after(&self, what: &str, object: &Object, released: usize) {
        self.scene.refuses_after(what, object.clone(), released).await;
        self.scene
            .refuses_after(&format!("{what}, stripped"), object.stripped(), released)
            .await;
    }
}

fn parts(theft: &Theft, name: &str, upload: &str, plain: &[u8]) -> Vec<Part> {
    let cut = [(1, 0..MIB5), (2, MIB5..2 * MIB5), (3, 2 * MIB5..plain.len())];
    cut.map(|(number, bytes)| theft.part(name, upload, number, &plain[bytes]))
        .into()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_honest_object_is_believed() {
    let upload = Upload::set().await;
    upload.scene.world.claim("acme", "victim", upload.object.clone());
    assert!(upload.scene.world.acme.get("victim").await.is(&upload.scene.plain));
    assert_eq!(upload.scene.tampered(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_stay_in_their_place_and_in_their_upload() {
    let upload = Upload::set().await;
    let [one, two, three] = [&upload.parts[0], &upload.parts[1], &upload.parts[2]];
    let tail = upload.tail();
    let words = &upload.scene.plain;
    let again = parts(&upload.theft, "victim", "another", words);
    let elsewhere = parts(&upload.theft, "elsewhere", "upload", words);
    let other = upload.theft.part("victim", "upload", 2, &words[..MIB5 - 1]);
    for (what, object, released) in [
        ("two parts swapped", upload.body([two, one, three], tail), 0),
        ("a part twice", upload.body([one, one, three], tail), MIB5),
        (
            "another upload's part",
            upload.body([one, &again[1], three], tail),
            MIB5,
        ),
        (
            "another upload's first part",
            upload.body([&again[0], two, three], tail),
            0,
        ),
        (
            "another object's last part",
            upload.body([one, two, &elsewhere[2]], tail),
            2 * MIB5,
        ),
        (
            "a whole object's segment",
            {
                let whole = upload.theft.whole("victim", &words[..MIB5]);
                let mut body = upload.object.body.clone();
                body[..PART].copy_from_slice(&whole.body[..PART]);
                completed(body)
            },
            0,
        ),
        (
            "a shorter part",
            {
                let mut body = upload.object.body.clone();
                body[PART..PART + other.sealed.len()].copy_from_slice(&other.sealed);
                completed(body)
            },
            MIB5,
        ),
    ] {
        upload.refuses_after(what, &object, released).await;
    }
    // A range in the part that was put there.
    let object = upload.body([one, &again[1], three], tail);
    let range = format!("{}-{}", MIB5 + 70_000, MIB5 + 70_009);
    upload.scene.refuses_range("a range of it", object, &range).await;
    // What the format does not promise to find: the same upload's earlier attempt at a part, of the same length.
    let earlier = upload.theft.part("victim", "upload", 2, &words[..MIB5]);
    upload
        .scene
        .world
        .claim("acme", "victim", upload.body([one, &earlier, three], tail));
    assert!(upload.scene.world.acme.get("victim").await.whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_footer_speaks_for_its_own_object_only() {
    let upload = Upload::set().await;
    let (theft, words) = (&upload.theft, &upload.scene.plain);
    let [one, two, three] = [&upload.parts[0], &upload.parts[1], &upload.parts[2]];
    let none = Checksums::default();
    // Another object's, of the same shape; and this object's from another upload, which its parts don't match.
    let elsewhere = parts(theft, "elsewhere", "upload", words);
    let tail = theft.tail("elsewhere", "upload", &elsewhere, &none);
    upload
        .refuses("another object's footer", &upload.body([one, two, three], &tail))
        .await;
    let again = parts(theft, "victim", "another", words);
    let tail = theft.tail("victim", "another", &again, &none);
    upload
        .refuses_after("another upload's footer", &upload.body([one, two, three], &tail), 0)
        .await;
    // A table of another number of parts, or of other lengths, in an object of this size.
    let fewer = theft.tail("victim", "upload", &upload.parts[..2], &none);
    let mut body = upload.object.body.clone();
    let at = body.len() - fewer.len();
    body[at..].copy_from_slice(&fewer);
    upload.refuses("a footer of fewer parts", &completed(body)).await;
    let moved = |first: usize| Part {
        entry: Entry {
            plain_len: PlainLen((MIB5 + first) as u64),
            ..one.entry
        },
        sealed: Vec::new(),
    };
    let entries = [moved(1), two.clone(), three.clone()];
    let longer = theft.tail("victim", "upload", &entries, &none);
    let mut body = upload.object.body.clone();
    let at = body.len() - longer.len();
    body[at..].copy_from_slice(&longer);
    upload.refuses("a footer of other lengths", &completed(body)).await;
    // The footer of the whole object, or no footer at all.
    let mut body = upload.object.body.clone();
    let at = body.len() - HEADER_LEN;
    body[at..].copy_from_slice(&upload.parts[0].sealed[..HEADER_LEN]);
    upload
        .refuses("a part's header at the end", &completed(body.clone()))
        .await;
    body[at..].fill(0);
    upload.refuses("zeros at the end", &completed(body)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_bit_of_a_footer_can_change() {
    let upload = Upload::set().await;
    let end = upload.object.body.len();
    // Its header: magic, kind, segments, length, DEK, salt, binding, commitment, envelope, origin.
    for at in [0, 8, 9, 12, 15, 16, 23, 24, 40, 72, 104, 135, 136, 171, 683, 703] {
        let object = upload.object.flipped(end - HEADER_LEN + at, 0);
        upload.scene.refuses(&format!("byte {at} of the header"), object).await;
    }
    for segments in [0_u32, 1, 2, 4, 50_000, 50_001, u32::MAX] {
        let mut body = upload.object.body.clone();
        let at = end - HEADER_LEN + 12;
        body[at..at + 4].copy_from_slice(&segments.to_be_bytes());
        upload.refuses(&format!("{segments} segments"), &completed(body)).await;
    }
    for before in [1, 16, 17, 256, 400] {
        let object = upload.object.flipped(end - HEADER_LEN - before, 5);
        upload
            .scene
            .refuses(&format!("{before} before the header"), object)
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_byte_of_a_multipart_object_can_be_cut_off_or_added() {
    let upload = Upload::set().await;
    let full = upload.object.body.len();
    let cut = |len: usize| upload.object.with_body(&upload.object.body[..len]);
    for less in [1, 16, HEADER_LEN, upload.end(), upload.end() + 1, 65_552, full - PART] {
        upload.refuses(&format!("{less} bytes less"), &cut(full - less)).await;
    }
    for more in [1, 16, 17, 65_552, HEADER_LEN] {
        let mut body = upload.object.body.clone();
        body.resize(full + more, 0);
        upload.refuses(&format!("{more} zeros more"), &completed(body)).await;
        // Between parts and footer.
        let mut body = upload.object.body.clone();
        let at = full - upload.end();
        body.splice(at..at, vec![0; more]);
        upload
            .refuses(&format!("{more} zeros more within"), &completed(body))
            .await;
    }
    // A part, as the whole object, in the size of one.
    let part = completed(upload.parts[0].sealed.clone());
    upload.refuses("a part", &part).await;
    let mut sized = upload.parts[0].sealed.clone();
    sized.resize(usize::try_from(PlainLen(MIB5 as u64).sealed().unwrap().0).unwrap(), 0);
    upload.refuses("a part, as long as an object", &completed(sized)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mark_and_the_core_in_metadata_decide_nothing() {
    let upload = Upload::set().await;
    let Scene {
        world, victim, plain, ..
    } = &upload.scene;
    // The mark on a whole object: all of it reads as ever, and a range the right bytes or none.
    world.claim("acme", "victim", victim.clone().with_own("multipart", 1));
    assert!(world.acme.get("victim").await.is(plain));
    assert!(world.acme.get_range("victim", "0-9").await.is(&plain[..10]));
    upload
        .scene
        .refuses_range(
            "a whole object, marked",
            victim.clone().with_own("multipart", 1),
            "70000-70009",
        )
        .await;
    // The whole object's core on the multipart one, which is of the same name and length: its chunks are not that core's.
    upload
        .scene
        .refuses_range(
            "a whole object's core",
            upload.object.stripped().with_core(victim.core.clone()),
            "70000-70009",
        )
        .await;
    world.claim(
        "acme",
        "victim",
        upload.object.stripped().with_core(victim.core.clone()),
    );
    assert!(world.acme.get("victim").await.is(plain), "the header decides");
    assert!(world.acme.get("victim?partNumber=2").await.is(&plain[MIB5..2 * MIB5]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_remembered_of_an_object_helps_no_forgery() {
    let upload = Upload::set().await;
    let world = &upload.scene.world;
    world.claim("acme", "victim", upload.object.clone());
    assert!(
        world
            .acme
            .get_range("victim", "70000-70009")
            .await
            .is(&upload.scene.plain[70_000..70_010])
    );
    // Under the same ETag.
    let part = upload
        .theft
        .part("victim", "another", 2, &upload.scene.plain[MIB5..2 * MIB5]);
    let [one, three] = [&upload.parts[0], &upload.parts[2]];
    let object = upload.body([one, &part, three], upload.tail());
    let range = format!("{}-{}", MIB5 + 70_000, MIB5 + 70_009);
    upload
        .scene
        .refuses_range("another upload's part", object.clone(), &range)
        .await;
    upload
        .scene
        .refuses_range("at its start", object.clone(), &format!("{MIB5}-{MIB5}"))
        .await;
    let short = object.with_body(&upload.object.body[..PART]);
    upload.scene.refuses_range("cut", short, "70000-70009").await;
    upload
        .scene
        .refuses_range("a chunk changed", upload.object.flipped(66_300, 1), "70000-70009")
        .await;
}
