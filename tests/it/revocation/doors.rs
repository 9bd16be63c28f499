//! The gate's two doors, so that each no and each silence is played at both: how a customer's object is read and written there, what
//! all can be asked, and which of a row's answers counts.

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::revocation::rows::Told;
use crate::world::azure::{Azure, FILES};
use crate::world::client::Answer;
use crate::world::{World, bucket};

/// A dialect in which customers ask for their objects. Each has one called `file`.
pub(super) trait Door: Sync {
    /// Behind it.
    fn world(&self) -> &World;
    /// Reads all of an object.
    fn read(&self, customer: &str, name: &str) -> impl Future<Output = Answer> + Send;
    /// Asks for the head of `file`.
    fn glance(&self, customer: &str) -> impl Future<Output = Answer> + Send;
    /// Writes an object.
    fn write(&self, customer: &str, name: &str, body: &[u8]) -> impl Future<Output = Answer> + Send;
    /// Every operation that a customer's key must permit, each as it would be done if it did. What they write is called `new`.
    fn each_operation(&self, customer: &str) -> impl Future<Output = Vec<(&'static str, Answer)>> + Send;
    /// Whether the store has such an object.
    fn is_stored(&self, customer: &str, name: &str) -> impl Future<Output = bool> + Send;
    /// Status and code that this door has for it.
    fn words(&self, told: &Told) -> (u16, &'static str);
    /// The code that an answer bears. That to a HEAD may have none.
    fn code(&self, answer: &Answer) -> String;
}

/// The S3 side.
impl Door for World {
    fn world(&self) -> &World {
        self
    }

    async fn read(&self, customer: &str, name: &str) -> Answer {
        self.client(customer).get(name).await
    }

    async fn glance(&self, customer: &str) -> Answer {
        self.client(customer).head("file").await
    }

    async fn write(&self, customer: &str, name: &str, body: &[u8]) -> Answer {
        let client = self.client(customer);
        client.send(Method::PUT, name, HeaderMap::new(), body).await
    }

    async fn each_operation(&self, customer: &str) -> Vec<(&'static str, Answer)> {
        let client = self.client(customer);
        let source = format!("{}/file", bucket(customer));
        let copied = [("x-amz-copy-source", source.as_str())];
        let listed =
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>e</ETag></Part></CompleteMultipartUpload>";
        let deleted = "<Delete><Object><Key>file</Key></Object></Delete>";
        let asked: [(_, _, _, &[(&'static str, &str)], &str); 14] = [
            ("GetObject", Method::GET, "file", &[], ""),
            ("a range", Method::GET, "file", &[("range", "bytes=1-2")], ""),
            (
                "GetObjectAttributes",
                Method::GET,
                "file?attributes",
                &[("x-amz-object-attributes", "ETag")],
                "",
            ),
            ("ListObjectsV2", Method::GET, "?list-type=2", &[], ""),
            ("PutObject", Method::PUT, "new", &[], "new"),
            ("CopyObject", Method::PUT, "new", &copied, ""),
            ("CreateMultipartUpload", Method::POST, "new?uploads", &[], ""),
            ("UploadPart", Method::PUT, "new?partNumber=1&uploadId=u", &[], "new"),
            (
                "UploadPartCopy",
                Method::PUT,
                "new?partNumber=1&uploadId=u",
                &copied,
                "",
            ),
            ("CompleteMultipartUpload", Method::POST, "new?uploadId=u", &[], listed),
            ("ListParts", Method::GET, "new?uploadId=u", &[], ""),
            ("ListMultipartUploads", Method::GET, "?uploads", &[], ""),
            ("DeleteObjects", Method::POST, "?delete", &[], deleted),
            ("DeleteObject", Method::DELETE, "file", &[], ""),
        ];
        let mut answers = Vec::new();
        for (what, method, target, said, body) in asked {
            let said = said.iter().map(|(name, value)| {
                let value = HeaderValue::from_str(value).unwrap();
                (HeaderName::from_static(name), value)
            });
            let answer = client.send(method, target, said.collect(), body.as_bytes()).await;
            answers.push((what, answer));
        }
        answers
    }

    async fn is_stored(&self, customer: &str, name: &str) -> bool {
        let found = self.store_client(&bucket(customer)).head(name).await;
        assert!([200, 404].contains(&found.status()), "{found:?}");
        found.status() == 200
    }

    fn words(&self, told: &Told) -> (u16, &'static str) {
        told.s3
    }

    fn code(&self, answer: &Answer) -> String {
        answer.code()
    }
}

impl Door for Azure {
    fn world(&self) -> &World {
        &self.world
    }

    async fn read(&self, customer: &str, name: &str) -> Answer {
        let target = format!("/{FILES}/{name}");
        self.client(customer).send(Method::GET, &target, &[], b"").await
    }

    async fn glance(&self, customer: &str) -> Answer {
        let target = format!("/{FILES}/file");
        self.client(customer).send(Method::HEAD, &target, &[], b"").await
    }

    async fn write(&self, customer: &str, name: &str, body: &[u8]) -> Answer {
        let target = format!("/{FILES}/{name}");
        let kind = [("x-ms-blob-type", "BlockBlob")];
        self.client(customer).send(Method::PUT, &target, &kind, body).await
    }

    async fn each_operation(&self, customer: &str) -> Vec<(&'static str, Answer)> {
        const BLOCK: (&str, &str) = ("x-ms-blob-type", "BlockBlob");
        let client = self.client(customer);
        let url = client.url("file");
        let source = ("x-ms-copy-source", url.as_str());
        let blocks = "<BlockList><Latest>YQ==</Latest></BlockList>";
        let asked: [(_, _, _, &[(&'static str, &str)], &str); 20] = [
            ("Get Blob", Method::GET, "/file", &[], ""),
            ("a range", Method::GET, "/file", &[("x-ms-range", "bytes=1-2")], ""),
            ("Get Blob Properties", Method::HEAD, "/file", &[], ""),
            ("Get Blob Metadata", Method::GET, "/file?comp=metadata", &[], ""),
            ("Get Block List", Method::GET, "/file?comp=blocklist", &[], ""),
            ("List Blobs", Method::GET, "?restype=container&comp=list", &[], ""),
            ("Get Container Properties", Method::GET, "?restype=container", &[], ""),
            ("Put Blob", Method::PUT, "/new", &[BLOCK], "new"),
            (
                "Put Blob, to append to",
                Method::PUT,
                "/new",
                &[("x-ms-blob-type", "AppendBlob")],
                "",
            ),
            ("Put Block", Method::PUT, "/new?comp=block&blockid=YQ%3D%3D", &[], "new"),
            ("Put Block List", Method::PUT, "/new?comp=blocklist", &[], blocks),
            ("Append Block", Method::PUT, "/log?comp=appendblock", &[], "new"),
            ("Copy Blob", Method::PUT, "/new", &[source], ""),
            ("Put Blob From URL", Method::PUT, "/new", &[BLOCK, source], ""),
            (
                "Put Block From URL",
                Method::PUT,
                "/new?comp=block&blockid=YQ%3D%3D",
                &[source],
                "",
            ),
            (
                "Append Block From URL",
                Method::PUT,
                "/log?comp=appendblock",
                &[source],
                "",
            ),
            (
                "Set Blob Metadata",
                Method::PUT,
                "/file?comp=metadata",
                &[("x-ms-meta-a", "b")],
                "",
            ),
            ("Set Blob Properties", Method::PUT, "/file?comp=properties", &[], ""),
            ("Snapshot Blob", Method::PUT, "/file?comp=snapshot", &[], ""),
            ("Delete Blob", Method::DELETE, "/file", &[], ""),
        ];
        let mut answers = Vec::new();
        for (what, method, target, headers, body) in asked {
            let target = format!("/{FILES}{target}");
            let answer = client.send(method, &target, headers, body.as_bytes()).await;
            answers.push((what, answer));
        }
        answers
    }

    async fn is_stored(&self, customer: &str, name: &str) -> bool {
        // Blocks that are in no blob yet count too.
        let target = format!("/{FILES}/{name}?comp=blocklist&blocklisttype=all");
        let found = self.store_client(customer).send(Method::GET, &target, &[], b"").await;
        assert!([200, 404].contains(&found.status()), "{found:?}");
        found.status() == 200
    }

    fn words(&self, told: &Told) -> (u16, &'static str) {
        told.azure
    }

    /// It stands in a header, of the answer to a HEAD too, and in the document.
    fn code(&self, answer: &Answer) -> String {
        let code = answer
            .headers
            .get("x-ms-error-code")
            .map_or("", |code| code.to_str().unwrap());
        assert!(answer.body.is_empty() || answer.code() == code, "{code}: {answer:?}");
        code.to_owned()
    }
}
