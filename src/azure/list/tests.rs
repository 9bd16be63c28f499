//! One pass over a page's text tells what its tree tells, of whatever a store writes.

use std::fmt::Write as _;

use proptest::prelude::*;

use crate::azure::list::entry::{Listed, Told};
use crate::azure::list::text::Page;
use crate::azure::list::{set_endpoint, tree};
use crate::azure::xml::Element;
use crate::seal::SealedLen;

const ENDPOINT: &str = "https://gate.example/acme?a=\"b\"&c";

fn source(text: &str) -> String {
    format!("<{text}>&")
}

fn progress(text: &str, len: u64) -> Option<String> {
    text.contains('/').then(|| format!("{len}/{len}"))
}

/// What these tests tell of a blob: anything that follows from what is listed.
fn told(entries: &[Listed<'_>]) -> Vec<Told> {
    let of = |entry: &Listed<'_>| Told {
        len: entry.stored.filter(|len| len.0 % 3 != 0).map(|len| len.0 / 3),
        md5: entry.hidden.sums.as_ref().map(|sums| format!("{}==", sums.len())),
    };
    entries.iter().map(of).collect()
}

/// The page by its tree; `None` where it is refused.
fn careful(page: &str, with_metadata: bool) -> Option<(Vec<Listed<'static>>, String)> {
    let mut tree = Element::parse(page.as_bytes()).ok()?;
    let listed = tree::listed(&tree).into_iter().map(Listed::into_owned).collect();
    let told = told(&tree::listed(&tree));
    set_endpoint(&mut tree, ENDPOINT);
    tree::show(&mut tree, &told, with_metadata, &source, &progress);
    Some((listed, String::from_utf8(tree.document()).unwrap()))
}

/// The page in one pass; `None` where it is left to the tree.
fn quick(page: &str, with_metadata: bool) -> Option<(Vec<Listed<'static>>, String)> {
    let read = Page::read(page.as_bytes(), with_metadata)?;
    let listed = read.entries().iter().cloned().map(Listed::into_owned).collect();
    let told = told(read.entries());
    let shown = read.shown(ENDPOINT, &told, &source, &progress);
    Some((listed, String::from_utf8(shown).unwrap()))
}

/// Both tell the same, if the quick way reads the page at all; whether it does.
fn same(page: &str) -> bool {
    let both = [false, true].map(|with_metadata| {
        let Some((listed, shown)) = quick(page, with_metadata) else {
            return false;
        };
        let (expected, careful) = careful(page, with_metadata).unwrap_or_else(|| panic!("refused by the tree: {page}"));
        assert_eq!(listed, expected, "{page}");
        let parsed = |text: &str| Element::parse(text.as_bytes()).unwrap().into_owned();
        assert_eq!(parsed(&shown), parsed(&careful), "{page}\n{shown}");
        true
    });
    assert_eq!(both[0], both[1], "{page}");
    both[0]
}

fn page(blobs: &str) -> String {
    format!(
        "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ServiceEndpoint=\"https://upstream.example/\" \
         ContainerName=\"files\"><Prefix>a&amp;b</Prefix><MaxResults>9</MaxResults><Blobs>{blobs}</Blobs><NextMarker /></EnumerationResults>"
    )
}

/// As Azure writes it: <https://learn.microsoft.com/rest/api/storageservices/list-blobs>.
const BLOB: &str = "<Blob><Name>dir/a &amp; b.txt</Name><Snapshot>2026-11-24T00:00:00.0000000Z</Snapshot>\
    <VersionId>2026-11-24T01:00:00.0000000Z</VersionId><IsCurrentVersion>true</IsCurrentVersion><Deleted>true</Deleted><Properties>\
    <Creation-Time>Tue, 24 Nov 2026 00:00:00 GMT</Creation-Time><Last-Modified>Tue, 24 Nov 2026 00:00:00 GMT</Last-Modified>\
    <Etag>0x8DE2B0</Etag><Content-Length>731</Content-Length><Content-Type>text/plain; a=\"b\"</Content-Type><Content-Encoding />\
    <Content-Language /><Content-CRC64 /><Content-MD5>nhB9nTcrtoJr2B01QqQZ1g==</Content-MD5><Cache-Control /><Content-Disposition />\
    <BlobType>AppendBlob</BlobType><AccessTier>Hot</AccessTier><CopyId>1</CopyId>\
    <CopySource>https://upstream.example/files/x?sig=1&amp;b</CopySource><CopyProgress>731/731</CopyProgress><TagCount>1</TagCount>\
    </Properties><Metadata><Color>red &lt;</Color><portcullis_sums>c2VhbGVk</portcullis_sums><Portcullis_pending>1</Portcullis_pending>\
    </Metadata><Tags><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tags><OrMetadata /></Blob>";

#[test]
fn what_azure_writes_is_read_in_one_pass() {
    let hidden_only = BLOB.replace("<Color>red &lt;</Color>", "");
    let prefix = "<BlobPrefix><Name>dir/</Name><Properties><Etag>1</Etag></Properties></BlobPrefix>";
    let (listed, shown) = quick(&page(&format!("{BLOB}{prefix}{hidden_only}")), true).unwrap();
    assert_eq!(listed.len(), 2);
    let first = &listed[0];
    assert_eq!(first.name, "dir/a & b.txt");
    assert_eq!(first.snapshot, "2026-11-24T00:00:00.0000000Z");
    assert_eq!(first.version, "2026-11-24T01:00:00.0000000Z");
    assert!(first.deleted && first.append && first.hidden.pending);
    assert_eq!(first.stored, Some(SealedLen(731)));
    assert_eq!(first.hidden.sums.as_deref(), Some("c2VhbGVk"));
    for expected in [
        "<Content-Length>243</Content-Length><Content-Type>text/plain; a=\"b\"</Content-Type><Content-Encoding />\
         <Content-Language /><Content-MD5>8==</Content-MD5><Cache-Control />",
        "<CopySource>&lt;https://upstream.example/files/x?sig=1&amp;b&gt;&amp;</CopySource><CopyProgress>243/243</CopyProgress>",
        "</Properties><Metadata><Color>red &lt;</Color></Metadata><Tags>",
        "</Properties><Tags>",
        prefix,
    ] {
        assert!(shown.contains(expected), "{expected}\n{shown}");
    }
    assert!(!shown.to_lowercase().contains("portcullis"), "{shown}");
    let pages = [
        page(""),
        page("").replace("<Blobs></Blobs>", "<Blobs />"),
        page(&BLOB.replace('<', "\n <").replace("\n </", "</")),
        // As Azurite does it.
        page(&BLOB.replace(" />", "/>")).replace("?>", " standalone=\"yes\"?>\n"),
        page(&BLOB.replace("<OrMetadata />", "<OrMetadata><a>b</a></OrMetadata>")),
    ];
    for page in pages {
        assert!(read_alike(&page), "{page}");
    }
}

#[test]
fn what_looks_unusual_is_left_to_the_tree() {
    for (usual, unusual) in [
        ("<Name>", "<Name Encoded=\"true\">"),
        ("<Name>", "<!-- <Name>b</Name> --><Name>"),
        ("<Name>dir", "<Name><![CDATA[dir]]>"),
        ("<Name>dir", "<Name><?dir?>"),
        ("<Name>dir/a &amp; b.txt</Name>", ""),
        ("<Name>dir/a &amp; b.txt</Name>", "<Name/>"),
        ("<Name>dir/", "<Name>other</Name><Name>dir/"),
        ("<Name>dir/a &amp; b.txt<", "<Name>dir/a & b.txt<"),
        ("<Name>dir/a &amp; b.txt<", "<Name>dir/a &b; b.txt<"),
        ("<Name>dir/a &amp; b.txt</Name>", "<Name>dir<i/></Name>"),
        ("</Name>", "</name>"),
        ("</Name>", "</Name >"),
        ("</Name>", ""),
        ("<Properties>", "<Properties><Content-Length>1</Content-Length>"),
        ("<Properties>", "<Properties>1"),
        ("<Properties>", "<Properties></Properties><Properties>"),
        ("<Content-Length>731</Content-Length>", ""),
        ("<Content-Length>731", "<Content-Length>-731"),
        ("<Metadata>", "<Metadata Encrypted=\"true\">"),
        ("<Metadata>", "<Metadata/><Metadata>"),
        ("<portcullis_sums>", "<x:portcullis_sums>"),
        ("c2VhbGVk", "c2Vh<a/>bGVk"),
        ("<Blobs>", "<Blobs/><Blobs>"),
        ("</Blobs>", "</Blobs><Blobs></Blobs>"),
        ("</Blobs>", "</Blobs></Blobs>"),
        ("</EnumerationResults>", "</EnumerationResults><!---->"),
        ("</EnumerationResults>", "</EnumerationResults>x"),
        ("</EnumerationResults>", ""),
        ("<EnumerationResults", "<!DOCTYPE a><EnumerationResults"),
        ("<EnumerationResults", "<a:EnumerationResults"),
        ("ServiceEndpoint", "\"ServiceEndpoint"),
        ("https://upstream.example/\"", "https://upstream.example/>\""),
        ("<OrMetadata />", &("<a>".repeat(20) + &"</a>".repeat(20))),
    ] {
        let page = page(BLOB).replacen(usual, unusual, 1);
        assert!(page.contains(unusual), "{usual}");
        assert!(quick(&page, true).is_none() && quick(&page, false).is_none(), "{page}");
    }
}

#[test]
fn an_encoded_name_is_decoded() {
    let encoded = BLOB.replace("<Name>dir/a &amp; b.txt", "<Name Encoded=\"true\">dir/a%EF%BF%BE%2520");
    let (listed, shown) = careful(&page(&encoded), false).unwrap();
    assert_eq!(listed[0].name, "dir/a\u{fffe}%20");
    assert!(
        shown.contains("<Name Encoded=\"true\">dir/a%EF%BF%BE%2520</Name>"),
        "{shown}"
    );
}

/// As [`same`], of a page that the quick way must read.
fn read_alike(page: &str) -> bool {
    careful(page, true).is_some() && same(page)
}

/// A leaf of a listing, or of something that pretends to be one.
fn element() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "Name",
        "Snapshot",
        "VersionId",
        "Deleted",
        "Content-Length",
        "Content-Type",
        "Content-Language",
        "Content-MD5",
        "Content-CRC64",
        "BlobType",
        "CopySource",
        "CopyProgress",
        "portcullis_core",
        "Portcullis_Sums",
        "portcullis_alias",
        "portcullis_pending",
        "Etag",
        "Color",
        "x:Name",
        "Blob",
        "Metadata",
        "Properties",
        "Blobs",
        "Tags",
        "a1.b",
    ]);
    let text = prop::sample::select(vec![
        "",
        "720",
        "731",
        "+9",
        "true",
        "AppendBlob",
        "a&amp;b",
        "&#x41;&quot;",
        "&bad;",
        "&",
        " x ",
        "1/2",
        "é\u{1F600}",
        "]]>",
        "\r\n",
        "<![CDATA[1]]>",
        "<!-- 1 -->",
        "<i/>",
        "<i>1</i>",
        "\"'",
        "720<",
        "&#0;",
    ]);
    let form = prop::sample::select(vec![
        "<N>T</N>",
        "<N>T</N>",
        "<N>T</N>",
        "<N>T</N>",
        "<N>T</N>",
        "<N/>",
        "<N />",
        "<N a=\"b\">T</N>",
        "<N>T</N >",
        "<N\n>T</N>",
        "<N>T",
        "\n<N>T</N> ",
        "T<N>T</N>",
        "< N>T</N>",
        "<N  />",
        "<N>T</M>",
    ]);
    (name, text, form)
        .prop_map(|(name, text, form)| form.replace('N', "\u{1}").replace('T', text).replace('\u{1}', name))
}

/// A blob with all that is needed, and more among it.
fn blob(odd: impl Strategy<Value = String> + Clone) -> impl Strategy<Value = String> {
    let some = || prop::collection::vec(odd.clone(), 0..3).prop_map(|all| all.concat());
    let or_not = |text: &'static str| prop::sample::select(vec![text, text, text, ""]);
    let meta = or_not("<portcullis_sums>c2Vh</portcullis_sums><Color>red</Color>");
    let types = or_not("<Content-Type>t</Content-Type><Content-MD5>m</Content-MD5>");
    (some(), some(), some(), some(), any::<u16>(), meta, types).prop_map(|(a, b, c, d, len, meta, types)| {
        format!(
            "<Blob><Name>n{len}</Name>{a}<Properties>{b}<Content-Length>{len}</Content-Length>{types}{c}</Properties>\
             <Metadata>{meta}{d}</Metadata></Blob>"
        )
    })
}

fn usual() -> impl Strategy<Value = String> + Clone {
    prop::sample::select(vec![
        "<Etag>1</Etag>",
        "<Cache-Control />",
        "<Color1>a&amp;b</Color1>",
        "\n",
        "<Portcullis_x/>",
        "<Tags><a><b>1</b></a></Tags>",
        "<Empty></Empty>",
        " <Note>é &#x26; ></Note> ",
    ])
    .prop_map(str::to_owned)
}

proptest! {
    #[test]
    fn usual_pages_are_read_in_one_pass(blobs in prop::collection::vec(blob(usual()), 0..4)) {
        // A `Tags` in metadata is for the tree.
        let text = page(&blobs.concat());
        prop_assert_eq!(same(&text), !text.split("<Metadata>").skip(1).any(|after| {
            after.split("</Metadata>").next().is_some_and(|inside| inside.contains("<Tags>"))
        }));
    }

    #[test]
    fn any_page_is_told_alike_or_left_to_the_tree(blobs in prop::collection::vec(
        prop_oneof![3 => blob(element().boxed()), 1 => element()], 0..4,
    )) {
        same(&page(&blobs.concat()));
    }

    #[test]
    fn a_damaged_page_is_told_alike_or_left_to_the_tree(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..12, "[<>/&;! a?\"=\\[\\]-]{0,3}"), 1..4),
    ) {
        let mut text: Vec<char> = page(BLOB).chars().collect();
        for (at, len, new) in edits {
            let at = at.index(text.len());
            let end = text.len().min(at + len);
            text.splice(at..end, new.chars());
        }
        same(&text.into_iter().collect::<String>());
    }
}

#[test]
fn pages_of_many_blobs_are_read_in_one_pass() {
    let mut blobs = String::new();
    for number in 0..1000 {
        let _ = write!(blobs, "{}", BLOB.replace("a &amp; b", &number.to_string()));
    }
    assert!(read_alike(&page(&blobs)));
}
