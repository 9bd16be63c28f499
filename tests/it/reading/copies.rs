//! Objects that lie elsewhere than where they were sealed: with an alias of their own, and without.

use super::{LEN, Scene, refused};

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_read_by_its_alias_whatever_its_form() {
    let scene = Scene::set().await;
    let (theft, world) = (&scene.theft, &scene.world);
    let whole = theft.whole("birthplace", &scene.plain[..200_000]);
    let copy = whole.clone().with_own("alias", theft.alias(&whole, "copy"));
    world.claim("acme", "copy", copy.clone());
    assert!(world.acme.get("copy").await.is(&scene.plain[..200_000]));
    assert!(
        world
            .acme
            .get_range("copy", "70000-70009")
            .await
            .is(&scene.plain[70_000..70_010])
    );
    assert_eq!(world.acme.head("copy").await.status(), 200);
    // Cold: the header decides, and the alias comes from the first answer.
    world.claim("acme", "copy", copy.with_core(None));
    assert!(
        world
            .acme
            .get_range("copy", "70000-70009")
            .await
            .is(&scene.plain[70_000..70_010])
    );

    let alias = theft.alias(&scene.file, "second");
    let second = scene.file.clone().with_own("alias", alias);
    world.claim("acme", "second", second);
    assert!(world.acme.get("second").await.is(&scene.plain));
    assert!(world.acme.get_range("second", "-9").await.is(&scene.plain[LEN - 9..]));
    assert!(
        world
            .acme
            .get_range("second", "70000-70009")
            .await
            .is(&scene.plain[70_000..70_010])
    );
    assert_eq!(world.audit("acme", "object_tampered"), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_alias_gives_a_right_to_a_name() {
    let scene = Scene::set().await;
    let (theft, world) = (&scene.theft, &scene.world);
    let whole = theft.whole("birthplace", &scene.plain[..200_000]);
    let other = theft.whole("birthplace", &scene.plain[..200_000]);
    for alias in [
        theft.alias(&whole, "elsewhere"),
        theft.alias(&other, "copy"),
        theft.alias(&scene.file, "copy"),
        "A".repeat(43),
        String::new(),
        "?".to_owned(),
    ] {
        world.claim("acme", "copy", whole.clone().with_own("alias", alias.clone()));
        for answer in [
            world.acme.get("copy").await,
            world.acme.get_range("copy", "70000-70009").await,
        ] {
            assert_eq!(refused(&answer), (403, "ObjectTampered".to_owned()), "{alias}");
        }
        let multipart = scene.file.clone().with_own("alias", alias.clone());
        if alias != theft.alias(&scene.file, "copy") {
            world.claim("acme", "copy", multipart);
            let answer = world.acme.get("copy").await;
            assert_eq!(refused(&answer), (403, "ObjectTampered".to_owned()), "{alias}");
        }
    }
}
