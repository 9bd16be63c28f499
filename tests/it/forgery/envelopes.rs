//! Envelopes: forged with the public half of the CMK, of another tenant, of another CMK, of a DEK that is not the one they name,
//! and garbage. What is false costs no call to a vault; what only the vault can tell costs one, and no lease.

use portcullis::keys::key_url::{KeyUrl, VaultHosts};
use portcullis::seal::{CmkRef, Dek, Envelope};

use super::{Scene, plain};
use crate::world::object::Object;
use crate::world::theft::Theft;

#[tokio::test(flavor = "multi_thread")]
async fn what_the_public_half_of_the_key_can_make_is_refused_before_the_vault_is_asked() {
    let scene = Scene::set().await;
    let forged = Theft::forged(&scene.world, "acme").await;
    let asked = scene.world.vault_calls("acme");
    let object = forged.whole("victim", b"forged words");
    scene.refuses("forged", object.clone()).await;
    scene.refuses_range("a range of it", object.clone(), "0-3").await;
    let long = forged.whole("victim", &plain(200_000, 9));
    scene.refuses_range("a range further back", long, "70000-70003").await;

    // With the origin of a genuine envelope pasted in.
    let mut body = object.body.clone();
    body[683..699].copy_from_slice(&scene.victim.body[683..699]);
    scene.refuses("a pasted origin", object.with_body(body)).await;
    assert_eq!(scene.world.vault_calls("acme"), asked, "the vault was asked nothing");
    scene.was_held_against_the_key(false);
    scene.is_undisturbed(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_object_is_refused_under_this_tenants_name() {
    let scene = Scene::set().await;
    scene.world.globex.put("victim", &scene.plain).await;
    let theirs = scene.world.stored("globex", "victim").await;
    scene.refuses("globex's object", theirs.clone()).await;
    scene
        .refuses_range("a range of it", theirs.clone(), "70000-70003")
        .await;
    // And with each one's envelope on the other's core.
    let pasted = |core: &Object, envelope: &Object| {
        let body = [&core.body[..136], &envelope.body[136..704], &core.body[704..]].concat();
        core.with_body(body)
    };
    scene
        .refuses("globex's core, acme's envelope", pasted(&theirs, &scene.victim))
        .await;
    scene
        .refuses("acme's core, globex's envelope", pasted(&scene.victim, &theirs))
        .await;
    // Sealed for acme's very name, under globex's DEK.
    let theft = Theft::from(&scene.world, "globex").await;
    let (acme, globex) = ("acme-files".to_owned(), theft.tenant.clone());
    let theft = Theft { bucket: acme, ..theft };
    scene.refuses("globex's DEK", theft.whole("victim", &scene.plain)).await;
    assert_ne!(globex, scene.world.tenant("acme"));
    scene.world.adversary.honest();
    assert!(scene.world.globex.get("victim").await.is(&scene.plain));
    assert_eq!(
        (scene.world.unwraps("acme"), scene.world.unwraps("globex")),
        (1, 2),
        "the thief's own call"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dek_goes_by_one_envelope_only() {
    let scene = Scene::set().await;
    let theft = Theft::from(&scene.world, "acme").await;
    let forged = Theft::forged(&scene.world, "acme").await;
    let asked = scene.world.vault_calls("acme");
    // The tenant's own DEK id, an envelope with another DEK in it.
    scene
        .refuses(
            "a forger's envelope",
            theft.whole_under(&theft.dek, &forged.envelope, "victim", &scene.plain),
        )
        .await;
    scene
        .refuses(
            "a forger's DEK",
            theft.whole_under(&forged.dek, &theft.envelope, "victim", &scene.plain),
        )
        .await;
    let bytes = theft.envelope.to_bytes();
    let mut other = bytes;
    other[547..563].copy_from_slice(forged.envelope.origin());
    let other = Envelope::parse(&other).unwrap();
    scene
        .refuses(
            "another origin",
            theft.whole_under(&theft.dek, &other, "victim", &scene.plain),
        )
        .await;
    assert_eq!(scene.world.vault_calls("acme"), asked);
    scene.is_undisturbed(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envelope_of_another_cmk_is_refused_before_any_vault_is_asked() {
    let scene = Scene::set().await;
    let theft = Theft::from(&scene.world, "acme").await;
    let asked = [scene.world.vault_calls("acme"), scene.world.vault_calls("globex")];
    let hosts = VaultHosts::none().with_localhost("https://vault.azure.net/.default");
    let theirs = KeyUrl::parse(&scene.world.standin.key_url("globex"), &hosts)
        .unwrap()
        .cmk();
    let evil = CmkRef::of("https://evil.vault.azure.net/keys/acme-cmk");
    for cmk in [theirs, evil] {
        // Vouched for: as if the fleet had once served this tenant under that key.
        let (version, wrapped) = (theft.envelope.version(), theft.envelope.wrapped());
        let envelope = theft.vouched(&theft.dek, cmk, version, wrapped);
        scene
            .refuses(
                "another CMK",
                theft.whole_under(&theft.dek, &envelope, "victim", &scene.plain),
            )
            .await;
    }
    let now = [scene.world.vault_calls("acme"), scene.world.vault_calls("globex")];
    assert_eq!(now, asked, "no vault was asked anything");
    scene.is_undisturbed(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_garbage_envelopes_cost_no_call_and_no_lease() {
    let scene = Scene::of(100).await;
    for seed in 0..1000 {
        let mut body = scene.victim.body.clone();
        // DEK id, version, wrapped DEK and origin at random; the CMK is the tenant's.
        let noise = plain(16 + 16 + 256 + 16, 1000 + seed);
        body[24..40].copy_from_slice(&noise[..16]);
        body[153..169].copy_from_slice(&noise[16..32]);
        body[171..427].copy_from_slice(&noise[32..288]);
        body[683..699].copy_from_slice(&noise[288..]);
        scene.refuses("garbage", scene.victim.with_body(body)).await;
    }
    scene.is_undisturbed(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envelope_that_only_the_vault_can_call_bad_costs_one_call_and_no_lease() {
    let scene = Scene::of(100).await;
    let theft = Theft::from(&scene.world, "acme").await;
    let (cmk, version) = (theft.envelope.cmk(), theft.envelope.version());
    let before = scene.world.unwraps("acme");
    for seed in 0..5 {
        // Vouched for, as by somebody who has the origin secret: garbage, and a DEK that is not the one it names.
        let dek = Dek::generate().unwrap();
        let garbage = plain(256, 50 + seed);
        let garbage = theft.vouched(&dek, cmk, version, &garbage);
        let other = theft.vouched(&dek, cmk, version, theft.envelope.wrapped());
        for envelope in [&garbage, &other] {
            let object = theft.whole_under(&dek, envelope, "victim", &scene.plain);
            for _ in 0..3 {
                scene.refuses("vouched for, and bad", object.clone()).await;
            }
        }
    }
    assert_eq!(
        scene.world.unwraps("acme"),
        before + 10,
        "one call an envelope, however often it is read"
    );
    scene.is_undisturbed(before + 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invented_key_version_closes_nothing_but_itself() {
    let scene = Scene::of(100).await;
    let theft = Theft::from(&scene.world, "acme").await;
    let invented = "00112233445566778899aabbccddeeff".parse().unwrap();
    let dek = Dek::generate().unwrap();
    let envelope = theft.vouched(&dek, theft.envelope.cmk(), invented, theft.envelope.wrapped());
    let object = theft.whole_under(&dek, &envelope, "victim", &scene.plain);
    scene.world.claim("acme", "victim", object);
    for _ in 0..20 {
        let answer = scene.world.acme.get("victim").await;
        assert_eq!(
            (answer.status(), answer.code().as_str()),
            (400, "KMS.NotFoundException")
        );
        assert!(
            scene.world.acme.get("witness").await.is(b"acme"),
            "the tenant's own version is live"
        );
    }
    let asked = scene.world.unwraps("acme");
    assert!(
        asked <= 2 + 5,
        "{asked} calls: it is asked about anew at growing distances only"
    );
    assert_eq!(scene.world.audit("acme", "lease_ended"), []);
}
