//! `--against URL`: S3's work at any endpoint that speaks it, for those who have a store or a gate of their own. Nothing is
//! known of its process, so there is no CPU time, and there is nothing beside it.

use http::Uri;

use super::client::{self, Account, Kind, Target, Wire, Work};
use super::suite::{self, Sample, size};
use super::{Options, Problem};

pub(crate) async fn run(url: &str, options: &Options) -> Result<(), Problem> {
    let uri: Uri = url.parse().map_err(Problem::new)?;
    if uri.scheme_str() != Some("http") {
        return Err(Problem::new("only http:// endpoints are driven"));
    }
    let authority = uri
        .authority()
        .ok_or_else(|| Problem::new("an endpoint is http://HOST:PORT"))?;
    let port = authority.port_u16().unwrap_or(80);
    let mut addresses = tokio::net::lookup_host((authority.host(), port)).await?;
    let variable = |name: &str| std::env::var(name).map_err(|_| Problem::new(format!("{name} is not set")));
    let bucket = options.bucket.as_deref().unwrap_or_default();
    let account = Account::signed(
        bucket,
        &variable("AWS_ACCESS_KEY_ID")?,
        &variable("AWS_SECRET_ACCESS_KEY")?,
        &options.region,
    )?;
    let target = Target {
        address: addresses
            .next()
            .ok_or_else(|| Problem::new("the endpoint has no address"))?,
        host: authority.to_string(),
        tls: None,
        accounts: vec![account.into()],
    };
    let cells = suite::cells(options);
    // Uploads that nobody completes are not to be left in a store of somebody's.
    let leaves_nothing = |cell: &suite::Cell| cell.work.kind != Kind::Part;
    let wanted = |cell: &suite::Cell| {
        cell.wire == Wire::S3
            && !cell.tls
            && leaves_nothing(cell)
            && options.only.as_ref().is_none_or(|only| cell.name().contains(only))
    };
    let cells: Vec<_> = cells.into_iter().filter(wanted).collect();
    for bytes in suite::sizes(&cells, Wire::S3) {
        let work = Work {
            kind: Kind::Put,
            size: bytes,
            connections: 1,
        };
        let status = client::once(&target, work, &client::key(Kind::Get, bytes)).await?;
        if !status.is_success() {
            return Err(Problem::new(format!("PUT of {} was answered {status}", size(bytes))));
        }
    }
    println!(
        "{:<28} {:>10} {:>8} {:>10} {:>10} {:>10}",
        "", "requests/s", "GB/s", "p50 µs", "p99 µs", "p99.9 µs"
    );
    for cell in cells {
        let (outcome, ()) = client::run(&target, cell.work, options.span() * 2, || ()).await?;
        let sample = Sample::of(&outcome, std::time::Duration::ZERO);
        println!(
            "{:<28} {:>10.0} {:>8.2} {:>10.0} {:>10.0} {:>10.0}{}",
            cell.name(),
            sample.requests_per_second,
            sample.gigabytes_per_second,
            sample.p50_microseconds,
            sample.p99_microseconds,
            sample.p999_microseconds,
            if sample.errors > 0 { "  with errors" } else { "" }
        );
    }
    Ok(())
}
