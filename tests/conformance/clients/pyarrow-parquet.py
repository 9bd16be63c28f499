"""pyarrow's own S3 client (the C++ SDK): Parquet files written to the gate, then read by row group and by column, which are ranges."""

import world
from world import BUCKET, PREFIX, has, holds, same

world.inside("pyarrow", "pyarrow==26.0.1", "boto3==1.44.5")
import pyarrow as pa  # noqa: E402
import pyarrow.compute as pc  # noqa: E402
import pyarrow.dataset as ds  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from pyarrow import fs  # noqa: E402

scheme, _, where = world.ENDPOINT.partition("://")
tls = {"tls_ca_file_path": world.CA_FILE} if world.CA_FILE else {}
fs.initialize_s3(fs.S3LogLevel.Error)
gate = fs.S3FileSystem(
    access_key=world.ACCESS_KEY, secret_key=world.SECRET_KEY, region=world.REGION, scheme=scheme, endpoint_override=where, **tls
)
at = f"{BUCKET}/{PREFIX}"
rows = 1_000_000
table = pa.table(
    {
        "id": pa.array(range(rows), pa.int64()),
        "noise": pa.array([(n * 2654435761) % (1 << 32) for n in range(rows)], pa.uint32()),
        "text": pa.array([f"row {n} {(n * 40503) % 65521}" for n in range(rows)]),
    }
)
# Larger than one part: written as a multipart upload.
pq.write_table(table, at + "table.parquet", filesystem=gate, row_group_size=100_000, compression="none")
size = gate.get_file_info(at + "table.parquet").size
holds(size > 20 * world.MIB, "the file's size", size)
has("multipart")
with gate.open_input_file(at + "table.parquet") as source:
    same(source.size(), size, "HEAD")
    file = pq.ParquetFile(source)
    same(file.num_row_groups, 10, "row groups")
    same(file.read_row_group(7), table.slice(700_000, 100_000), "one row group")
    same(file.read_row_group(2, columns=["noise"]), table.slice(200_000, 100_000).select(["noise"]), "one column of it")
has("ranges: footer, row group, column")
same(pq.read_table(at + "table.parquet", filesystem=gate), table, "all of it")
has("bytes")

for part in range(3):
    pq.write_table(table.slice(part * 1000, 1000), f"{at}set/part={part}/data.parquet", filesystem=gate)
found = ds.dataset(at + "set", filesystem=gate, partitioning="hive").to_table(filter=pc.field("part") == 1, columns=["id"])
same(found.column("id").to_pylist(), list(range(1000, 2000)), "a dataset by its partitions")
sizes = {info.base_name: info.size for info in gate.get_file_info(fs.FileSelector(at, recursive=True)) if info.is_file}
same(sizes["table.parquet"], size, "LIST")
has("sizes in LIST and HEAD")
gate.delete_dir(at.rstrip("/"))
same(gate.get_file_info(at + "table.parquet").type, fs.FileType.NotFound, "after deletion")
fs.finalize_s3()
