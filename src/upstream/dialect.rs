//! How stores differ, and what is known of each kind: the defaults of `[store.…]`.

/// Whose software a store is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Provider {
    /// Amazon S3 itself.
    Aws,
    /// MinIO and AIStor.
    Minio,
    /// Garage.
    Garage,
    /// Ceph's radosgw.
    Ceph,
    /// Any other, of which nothing is taken for granted.
    #[default]
    Other,
}

/// Where the bucket's name stands in a request to the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Addressing {
    /// In the path: every compatible store takes it.
    #[default]
    Path,
    /// Before the endpoint's host. A bucket with a dot in its name stays in the path over TLS: no certificate covers it.
    Virtual,
}

/// What the store learns of a sealed body from the request that carries it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Payload {
    /// Its length: every compatible store takes it. Each chunk carries its own tag, so no change goes unseen by the gate.
    #[default]
    Unsigned,
    /// A checksum behind it, so that the store checks it too. Amazon demands one of every object that Object Lock will hold:
    /// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock-managing.html>.
    Trailer,
}

/// Whether the store heeds `If-Match` and `If-None-Match` of a request that writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConditionalWrites {
    /// It does.
    Heeded,
    /// It does not; such requests are refused here.
    Ignored,
    /// To be found out.
    #[default]
    Probe,
}

/// What sets one store apart from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// Where the bucket's name stands.
    pub addressing: Addressing,
    /// What it is told of sealed bodies.
    pub payload: Payload,
    /// What it makes of conditions on writes.
    pub conditional_writes: ConditionalWrites,
    /// The most it takes in one PUT or part, in stored bytes.
    pub largest_put: u64,
    /// The most it holds in one object, in stored bytes.
    pub largest_object: u64,
    /// Buckets lie in regions, each at an address of its own, and the store says which.
    pub regional: bool,
    /// A copy's tags follow `x-amz-tagging-directive` alone. radosgw 16 passes over it: a copy that is told new metadata loses its tags.
    pub copies_tags: bool,
}

const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

impl Dialect {
    /// What holds for a provider's stores as they are delivered.
    pub const fn of(provider: Provider) -> Self {
        let common = Self {
            addressing: Addressing::Path,
            payload: Payload::Unsigned,
            conditional_writes: ConditionalWrites::Probe,
            // <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>, and all others have followed.
            largest_put: 5 * GIB,
            largest_object: 5 * TIB,
            regional: false,
            copies_tags: false,
        };
        match provider {
            Provider::Aws => Self {
                payload: Payload::Trailer,
                conditional_writes: ConditionalWrites::Heeded,
                // 10,000 parts of 5 GiB: 48.8 TiB.
                largest_object: 10_000 * 5 * GIB,
                regional: true,
                copies_tags: true,
                ..common
            },
            Provider::Minio => Self {
                copies_tags: true,
                ..common
            },
            Provider::Garage | Provider::Ceph | Provider::Other => common,
        }
    }
}

impl Default for Dialect {
    fn default() -> Self {
        Self::of(Provider::default())
    }
}
