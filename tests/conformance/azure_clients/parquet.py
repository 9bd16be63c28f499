"""Parquet as data tools have it: pyarrow over adlfs, and polars with its own client; read by footer, row group and column, which are ranges."""

import os

import world

if world.CA_FILE:
    # aiohttp reads it when it is imported.
    os.environ |= {"SSL_CERT_FILE": world.CA_FILE, "REQUESTS_CA_BUNDLE": world.CA_FILE}
world.inside("azure-parquet", "adlfs==2026.8.0", "pyarrow==26.0.1", "polars==2.1.0", "azure-storage-blob==12.31.1")
import adlfs  # noqa: E402
import polars  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.dataset as ds  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from world import BUCKET, has, holds, same  # noqa: E402

tls = ["DefaultEndpointsProtocol=https"] if world.TLS else ["DefaultEndpointsProtocol=http"]
connection = ";".join([*tls, f"AccountName={world.ACCESS_KEY}", f"AccountKey={world.SECRET_KEY}", f"BlobEndpoint={world.ENDPOINT}", ""])
gate = adlfs.AzureBlobFileSystem(connection_string=connection)
rows = 1_000_000
table = pa.table(
    {
        "id": pa.array(range(rows), pa.int64()),
        "noise": pa.array([(n * 2654435761) % (1 << 32) for n in range(rows)], pa.uint32()),
        "text": pa.array([f"row {n} {(n * 40503) % 65521}" for n in range(rows)]),
    }
)
path = f"{BUCKET}/table.parquet"
pq.write_table(table, path, filesystem=gate, row_group_size=100_000, compression="none")
size = gate.info(path)["size"]
holds(size > 20 * world.MIB, "the file's size", size)
with gate.open(path) as source:
    file = pq.ParquetFile(source)
    same(file.num_row_groups, 10, "row groups")
    same(file.read_row_group(7), table.slice(700_000, 100_000), "one row group")
    same(file.read_row_group(2, columns=["noise"]), table.slice(200_000, 100_000).select(["noise"]), "one column of it")
same(pq.read_table(path, filesystem=gate), table, "all of it")
has("adlfs and pyarrow: footer, row group, column, whole")
for part in range(3):
    pq.write_table(table.slice(part * 1000, 1000), f"{BUCKET}/set/part={part}/data.parquet", filesystem=gate)
found = ds.dataset(f"{BUCKET}/set", filesystem=gate, partitioning="hive", format="parquet").to_table(filter=ds.field("part") == 1, columns=["id"])
same(found.column("id").to_pylist(), list(range(1000, 2000)), "a dataset by its partitions")
has("a partitioned data set")
options = {"account_name": world.ACCESS_KEY, "account_key": world.SECRET_KEY, "azure_endpoint": world.ENDPOINT, "allow_http": "true"}
if not world.TLS:
    lazy = polars.scan_parquet(f"az://{path}", storage_options=options)
    same(lazy.select("noise").slice(200_000, 5).collect()["noise"].to_list(), table["noise"][200_000:200_005].to_pylist(), "polars, a slice of a column")
    same(lazy.select(polars.col("id").sum()).collect().item(), rows * (rows - 1) // 2, "polars, a column")
    has("polars: columns")
