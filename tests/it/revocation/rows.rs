//! Every way in which a key can be withdrawn or out of reach, one line a row: who says it and how, the reason that is read off it,
//! and what a client of either dialect is told. A row more is a line more. `table.rs` plays each at both doors of a gate whose time
//! jumps; `benches/revocation` takes the time of each.

use std::sync::Mutex;

use http::StatusCode;
use portcullis::dev::standin::{Backup, Customer, Fault, Network, Operation, Standin};
use portcullis::keys::transport::LostNames;

const BAD: StatusCode = StatusCode::BAD_REQUEST;
const UNAUTHORIZED: StatusCode = StatusCode::UNAUTHORIZED;
const FORBIDDEN: StatusCode = StatusCode::FORBIDDEN;
const RBAC: &str = "Caller is not authorized to perform action on resource.\r\nCaller: appid=a;oid=o;iss=i\r\n\
    Action: 'Microsoft.KeyVault/vaults/keys/unwrap/action'\r\nAssignment: (not found)\r\nDecisionReason: 'DeniedWithNoValidRBAC' \r\n";

/// What clients are told: status and code, in S3's words and in Azure's. Of what `docs/KEYS.md` and `docs/azure.md` promise; in the
/// product only `s3::error` and `azure::error` choose them.
pub struct Told {
    /// By `s3::error`.
    pub s3: (u16, &'static str),
    /// By `azure::error`.
    pub azure: (u16, &'static str),
}

const NO_KEY: (u16, &str) = (403, "KeyVaultEncryptionKeyNotFound");
const NO_TOKEN: (u16, &str) = (403, "KeyVaultAccessTokenCannotBeAcquired");
/// The key is disabled.
pub const DISABLED: Told = told((400, "KMS.DisabledException"), NO_KEY);
/// It is not there.
pub const GONE: Told = told((400, "KMS.NotFoundException"), NO_KEY);
/// It is not for this.
pub const USAGE: Told = told((400, "KMS.InvalidKeyUsageException"), NO_KEY);
/// It is out of its dates: nothing new is sealed.
pub const OUT_OF_DATE: Told = told((400, "KMS.KMSInvalidStateException"), NO_KEY);
/// The gate may not use it, or may not enter the customer's tenant.
pub const DENIED: Told = told((403, "AccessDenied"), NO_TOKEN);
/// Nobody has said no, and nobody yes.
pub const CLOSED: Told = told((503, "ServiceUnavailable"), (503, "ServerBusy"));

/// Nothing: it is served.
pub const SERVED: Told = told((200, ""), (200, ""));

const fn told(s3: (u16, &'static str), azure: (u16, &'static str)) -> Told {
    Told { s3, azure }
}

/// Who says it.
pub enum By {
    /// The customer, in its vault or tenant; and how it is taken back.
    Customer(fn(&Customer), fn(&Customer)),
    /// The vault.
    Vault(Fault),
    /// Entra, of the customer's tenant, when a token is asked for.
    Entra(Fault),
    /// The managed identity endpoint.
    Identity(Fault),
    /// Whoever runs the gate.
    Isv(fn(&Standin), fn(&Standin)),
    /// The customer destroys the key, and restores it from the backup that is kept here.
    Purged(Mutex<Option<Backup>>),
    /// Nobody: the vault's name does not resolve.
    Name,
}

/// One way.
pub struct Row {
    /// In a few words.
    pub what: &'static str,
    /// Who says it.
    pub by: By,
    /// What is read off it, by the name that stands in audit and metrics.
    pub reason: &'static str,
    /// What a client is told.
    pub told: Told,
}

fn row(what: &'static str, by: By, reason: &'static str, told: Told) -> Row {
    Row { what, by, reason, told }
}

/// A row of those that close the gate without anybody having said no.
fn shut(what: &'static str, by: By, reason: &'static str) -> Row {
    row(what, by, reason, CLOSED)
}

/// The vault's no: it acts as soon as it is heard, within a third of the bound.
#[rustfmt::skip]
pub fn nos_of_the_vault() -> Vec<Row> {
    use By::{Customer, Vault};
    let forbidden = |inner, message| Vault(Fault::vault_refusal(FORBIDDEN, "Forbidden", Some(inner), message).on(Operation::UnwrapKey));
    let not_found = || Vault(Fault::vault_refusal(StatusCode::NOT_FOUND, "KeyNotFound", None, "A key with (name/id) acme-cmk was not found in this key vault.").on(Operation::UnwrapKey));
    vec![
        row("key disabled", Customer(|it| drop(it.disable_key()), |it| drop(it.enable_key())), "key_disabled", DISABLED),
        row("its only version disabled", Customer(|it| drop(it.set_version_enabled(&it.key_version().unwrap(), false)), |it| drop(it.set_version_enabled(&it.key_version().unwrap(), true))), "key_disabled", DISABLED),
        row("key soft-deleted", Customer(|it| drop(it.delete_key()), |it| drop(it.recover_key())), "key_not_found", GONE),
        row("key purged", By::Purged(Mutex::default()), "key_not_found", GONE),
        row("version unknown", not_found(), "key_not_found", GONE),
        row("key_ops without unwrapKey", Customer(|it| drop(it.set_key_ops(&["wrapKey"])), |it| drop(it.set_key_ops(&["wrapKey", "unwrapKey"]))), "operation_forbidden", USAGE),
        row("key_ops emptied", Customer(|it| drop(it.set_key_ops(&[])), |it| drop(it.set_key_ops(&["wrapKey", "unwrapKey"]))), "operation_forbidden", USAGE),
        row("role removed", Customer(|it| drop(it.remove_role()), |it| drop(it.grant_role())), "role_missing", DENIED),
        row("role lowered to reader", Customer(|it| drop(it.remove_role().and_then(|_| it.grant(portcullis::dev::standin::Role::Reader))), |it| drop(it.remove_role().and_then(|_| it.grant_role()))), "role_missing", DENIED),
        row("role denied, with escapes", forbidden("ForbiddenByRbac", RBAC), "role_missing", DENIED),
        row("access policy removed", forbidden("AccessDenied", "The user, group or application 'appid=a' does not have keys unwrapKey permission on key vault 'v'."), "access_policy_missing", DENIED),
        row("local role of a Managed HSM removed", Vault(Fault::vault_refusal(FORBIDDEN, "AccessDenied", None, "Not authorized to access /keys/k/unwrapkey").on(Operation::UnwrapKey)), "role_missing", DENIED),
        row("external key of a Managed HSM disabled", Vault(Fault::vault_refusal(FORBIDDEN, "Forbidden", Some("KeyDisabled"), "Operation is not allowed on a disabled key.")), "key_disabled", DISABLED),
    ]
}

/// What the vault says, or does not, without anybody having withdrawn the key: it acts at the end of the bound.
#[rustfmt::skip]
pub fn silences_of_the_vault() -> Vec<Row> {
    use By::{Customer, Vault};
    let refusal = |status, code, inner, message| Vault(Fault::vault_refusal(status, code, inner, message));
    vec![
        shut("firewall", Customer(|it| drop(it.set_network(Network::Firewalled)), |it| drop(it.set_network(Network::Open))), "vault_firewall"),
        shut("private link", Customer(|it| drop(it.set_network(Network::PrivateOnly)), |it| drop(it.set_network(Network::Open))), "private_link_required"),
        shut("key being deleted", Vault(Fault::conflict("acme-cmk")), "key_in_transition"),
        shut("key being recovered", refusal(StatusCode::CONFLICT, "Conflict", Some("ObjectIsBeingRecovered"), "Key k is currently being recovered."), "key_in_transition"),
        shut("another issuer", Vault(Fault::vault_refusal(UNAUTHORIZED, "Unauthorized", None, "AKV10032: Invalid issuer. Expected one of https://sts.windows.net/a/, found https://sts.windows.net/b/.").on(Operation::UnwrapKey)), "wrong_issuer"),
        shut("vault moved to another tenant", Customer(|it| drop(it.move_vault("a0000000-0000-4000-8000-0000000000ff")), |it| drop(it.move_vault(portcullis::dev::standin::ACME_TENANT))), "other_tenant"),
        shut("token not accepted", Vault(Fault::vault_refusal(UNAUTHORIZED, "Unauthorized", None, "AKV10022: Invalid audience.").on(Operation::UnwrapKey)), "token_refused"),
        shut("challenge that may not be answered", refusal(UNAUTHORIZED, "Unauthorized", None, "AKV10000: Request is missing a Bearer or PoP token."), "bad_challenge"),
        shut("out of its dates, by the vault", Vault(Fault::vault_refusal(FORBIDDEN, "Forbidden", Some("KeyNotYetValidOrExpired"), "").on(Operation::UnwrapKey)), "key_outside_validity"),
        shut("throttled", Vault(Fault::throttled(None)), "throttled"),
        shut("throttled, with a wish", Vault(Fault::throttled(Some(1))), "throttled"),
        shut("408", refusal(StatusCode::REQUEST_TIMEOUT, "RequestTimeout", None, ""), "server_error"),
        shut("500", Vault(Fault::broken()), "server_error"),
        shut("503", Vault(Fault::busy()), "server_error"),
        shut("silent", Vault(Fault::silent()), "timeout"),
        shut("connection closed", Vault(Fault::dropped_before()), "unreachable"),
        shut("connection closed after it was done", Vault(Fault::dropped_after()), "unreachable"),
        shut("closed before TLS", Vault(Fault::unreachable()), "unreachable"),
        shut("TLS fails", Vault(Fault::tls_fails()), "tls_failed"),
        shut("vault deleted, its name gone", By::Name, "name_unresolved"),
        shut("vault deleted, its name kept", refusal(StatusCode::NOT_FOUND, "VaultNotFound", None, "The vault was not found."), "unrecognised"),
        shut("a proxy's bare 403", Vault(Fault::proxy_refusal()), "unrecognised"),
        shut("a proxy's 404", Vault(Fault::answer(StatusCode::NOT_FOUND, "text/html", "<h1>404</h1>")), "unrecognised"),
        shut("a 403 of no known code", refusal(FORBIDDEN, "Forbidden", Some("ForbiddenBySomethingNew"), ""), "unrecognised"),
        shut("a 4xx of no known kind", refusal(StatusCode::IM_A_TEAPOT, "Forbidden", Some("KeyDisabled"), ""), "unrecognised"),
    ]
}

/// Entra's no: it acts when a token is asked for anew, within a third of the identity's bound.
#[rustfmt::skip]
pub fn nos_of_entra() -> Vec<Row> {
    use By::{Customer, Entra};
    let aadsts = |status, error, number| Entra(Fault::entra_refusal(status, error, number, "The tenant isn't\r\nto be used.").on(Operation::Token));
    vec![
        row("7000229 application removed", Customer(|it| drop(it.remove_app()), |it| drop(it.install_app())), "app_not_installed", DENIED),
        row("700016 application never there", Customer(|it| drop(it.forget_app()), |it| drop(it.install_app())), "app_not_installed", DENIED),
        row("7000112 application disabled", Customer(|it| drop(it.disable_app()), |it| drop(it.enable_app())), "app_disabled", DENIED),
        row("5000224 tenant blocked", aadsts(BAD, "invalid_request", 5_000_224), "tenant_blocked", DENIED),
        row("5000225 tenant blocked", aadsts(BAD, "invalid_request", 5_000_225), "tenant_blocked", DENIED),
    ]
}

/// What keeps Entra, or the machine's identity, from giving a token although nobody has withdrawn the key.
#[rustfmt::skip]
pub fn silences_of_the_identity() -> Vec<Row> {
    use By::{Entra, Identity, Isv};
    let aadsts = |status, number| Entra(Fault::entra_refusal(status, "invalid_request", number, "It isn't\r\nto be.").on(Operation::Token));
    let imds = |status| Identity(Fault::answer(status, "application/json", "{\"error\":\"e\",\"error_description\":\"d\"}").on(Operation::IdentityToken));
    vec![
        shut("90002 tenant unknown", aadsts(BAD, 90002), "tenant_unknown"),
        shut("500011 no Key Vault there", aadsts(BAD, 500_011), "vault_service_missing"),
        shut("53003 conditional access", aadsts(BAD, 53003), "conditional_access"),
        shut("70021 no federated credential", aadsts(BAD, 70021), "federation_mismatch"),
        shut("700211 its issuer", aadsts(UNAUTHORIZED, 700_211), "federation_mismatch"),
        shut("700212 its audience", aadsts(UNAUTHORIZED, 700_212), "federation_mismatch"),
        shut("700213 its subject", Isv(|it| drop(it.federate(Some("d0000000-0000-4000-8000-0000000000ff"))), |it| drop(it.federate(None))), "federation_mismatch"),
        shut("7002137", aadsts(UNAUTHORIZED, 7_002_137), "federation_mismatch"),
        shut("7002138 its case", aadsts(UNAUTHORIZED, 7_002_138), "federation_mismatch"),
        shut("700236 homed elsewhere", aadsts(BAD, 700_236), "app_elsewhere"),
        shut("70001 deactivated by the ISV", aadsts(BAD, 70001), "app_deactivated"),
        shut("700024 assertion out of time", aadsts(UNAUTHORIZED, 700_024), "assertion_out_of_time"),
        shut("700027 certificate unknown", aadsts(UNAUTHORIZED, 700_027), "certificate_unknown"),
        shut("7000215 secret wrong", aadsts(UNAUTHORIZED, 7_000_215), "secret_refused"),
        shut("7000222 secret expired", aadsts(UNAUTHORIZED, 7_000_222), "secret_refused"),
        shut("90006 passing", aadsts(BAD, 90006), "server_error"),
        shut("90024 passing", aadsts(BAD, 90024), "server_error"),
        shut("90033 passing", aadsts(BAD, 90033), "server_error"),
        shut("90055 passing", aadsts(BAD, 90055), "server_error"),
        shut("90090 passing", aadsts(BAD, 90090), "server_error"),
        shut("50196 taken for a loop", aadsts(BAD, 50196), "throttled"),
        shut("65001 consent asked for", aadsts(BAD, 65001), "unrecognised"),
        shut("650056 its like", aadsts(BAD, 650_056), "unrecognised"),
        shut("a code of no known meaning", aadsts(BAD, 999_999), "unrecognised"),
        shut("429", Entra(Fault::throttled(Some(1)).on(Operation::Token)), "throttled"),
        shut("500", Entra(Fault::broken().on(Operation::Token)), "server_error"),
        shut("a proxy's bare 403", Entra(Fault::proxy_refusal().on(Operation::Token)), "unrecognised"),
        shut("silent", Entra(Fault::silent().on(Operation::Token)), "timeout"),
        shut("connection closed", Entra(Fault::dropped_before().on(Operation::Token)), "unreachable"),
        shut("identity not assigned", Isv(|it| drop(it.assign_identity(false)), |it| drop(it.assign_identity(true))), "identity_not_assigned"),
        shut("identity endpoint starting", imds(StatusCode::GONE), "server_error"),
        shut("identity endpoint updating", imds(StatusCode::NOT_FOUND), "server_error"),
        shut("identity endpoint throttled", imds(StatusCode::TOO_MANY_REQUESTS), "throttled"),
        shut("identity endpoint broken", imds(StatusCode::INTERNAL_SERVER_ERROR), "server_error"),
        shut("identity endpoint silent", Identity(Fault::silent()), "timeout"),
        shut("identity endpoint closes", Identity(Fault::dropped_before()), "unreachable"),
    ]
}

/// What a customer can do beside its key, and the gate goes on: no proof is made of it.
#[rustfmt::skip]
pub fn unfelt() -> Vec<Row> {
    use By::Customer;
    vec![
        // The token is the application's own, and none of its rights comes from a consent.
        row("consent withdrawn", Customer(|it| drop(it.withdraw_consent()), |it| drop(it.install_app())), "", SERVED),
    ]
}

/// Before whom a row is played: a customer's vault, Entra tenant and machine.
pub struct Stage<'a> {
    /// All of them.
    pub standin: &'a Standin,
    /// The names that the gate looks up.
    pub names: &'a LostNames,
    /// `acme` or `globex`.
    pub customer: &'a str,
}

impl Stage<'_> {
    fn vault(&self) -> String {
        format!("{}-vault", self.customer)
    }
}

impl Row {
    /// From now on.
    pub fn say(&self, on: &Stage<'_>) {
        let customer = on.standin.customer(on.customer);
        match &self.by {
            By::Customer(say, _) => say(&customer),
            By::Vault(fault) => on.standin.vault(&on.vault()).fault(fault.clone()),
            By::Entra(fault) => on.standin.entra(on.customer).fault(fault.clone()),
            By::Identity(fault) => on.standin.identity().fault(fault.clone()),
            By::Isv(say, _) => say(on.standin),
            By::Purged(kept) => {
                *kept.lock().unwrap() = Some(customer.back_up().unwrap());
                customer.delete_key().and_then(|_| customer.purge_key()).unwrap();
            }
            By::Name => {
                on.names.lose(&format!("{}.localhost", on.vault()));
                // Nor is the connection kept that there is.
                on.standin.vault(&on.vault()).fault(Fault::dropped_before().times(1));
            }
        }
    }

    /// Mended.
    pub fn take_back(&self, on: &Stage<'_>) {
        let customer = on.standin.customer(on.customer);
        match &self.by {
            By::Customer(_, back) => back(&customer),
            By::Vault(_) => on.standin.vault(&on.vault()).clear_faults(),
            By::Entra(_) => on.standin.entra(on.customer).clear_faults(),
            By::Identity(_) => on.standin.identity().clear_faults(),
            By::Isv(_, back) => back(on.standin),
            By::Purged(kept) => {
                let backup = kept.lock().unwrap().take();
                customer.restore_key(&backup.unwrap()).unwrap();
            }
            By::Name => {
                on.names.find_all();
                on.standin.vault(&on.vault()).clear_faults();
            }
        }
    }
}
