//! Reading every form of object through the gate: multipart objects by footer, range and part number, copies by their alias, the
//! checksums that stay with an object, what HEAD claims and what errors say.
//!
//! The objects are sealed here, from the tenant's own DEK, and held by the adversary, who answers as an honest store would.

mod copies;
mod heads;
mod multipart;
mod source;
mod under_way;
mod versions;

use http::header::RANGE;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::forgery::plain;
use crate::world::client::Answer;
use crate::world::multipart::MIB5;
use crate::world::object::Object;
use crate::world::theft::Theft;
use crate::world::{World, bucket};

/// A world in which acme has an object `file`, uploaded in parts 1, 3 and 7: 5 MiB and a bit, 5 MiB, a bit.
struct Scene {
    world: World,
    theft: Theft,
    plain: Vec<u8>,
    file: Object,
}

const FIRST: usize = MIB5 + 70_001;
const SECOND: usize = MIB5;
const LAST: usize = 100_003;
const LEN: usize = FIRST + SECOND + LAST;

impl Scene {
    async fn set() -> Self {
        let world = World::start().await;
        world.acme.put("witness", b"acme").await;
        let theft = Theft::from(&world, "acme").await;
        let plain = plain(LEN, 1);
        let (first, rest) = plain.split_at(FIRST);
        let (second, last) = rest.split_at(SECOND);
        let file = theft.multipart("file", "upload", &[(1, first), (3, second), (7, last)]);
        world.claim("acme", "file", file.clone());
        Self {
            world,
            theft,
            plain,
            file,
        }
    }

    /// How many questions the store is asked about `file` for this.
    async fn questions<A: Future<Output = Answer>>(&self, ask: impl FnOnce() -> A) -> (Answer, u64) {
        let asked = || self.world.adversary.asked(&bucket("acme"), "file");
        let before = asked();
        let answer = ask().await;
        (answer, asked() - before)
    }

    async fn range(&self, range: &str) -> Answer {
        self.world.acme.get_range("file", range).await
    }

    async fn with(&self, method: Method, key: &str, headers: &[(&'static str, &str)]) -> Answer {
        let headers = headers.iter().map(|(name, value)| {
            let value = HeaderValue::from_str(value).unwrap();
            (HeaderName::from_static(name), value)
        });
        self.world
            .acme
            .send(method, key, headers.collect::<HeaderMap>(), b"")
            .await
    }
}

/// A header of an answer; empty if it is not there.
fn header(answer: &Answer, name: &str) -> String {
    let value = answer.headers.get(name).map(|value| value.to_str().unwrap());
    value.unwrap_or_default().to_owned()
}

fn refused(answer: &Answer) -> (u16, String) {
    (answer.status(), answer.code())
}

fn range_header(range: &str) -> HeaderMap {
    HeaderMap::from_iter([(RANGE, HeaderValue::try_from(format!("bytes={range}")).unwrap())])
}
