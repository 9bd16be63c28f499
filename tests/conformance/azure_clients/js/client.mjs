// The Azure SDK for JavaScript: buffers and streams, in one and in blocks, ranges, append, copies, leases, SAS.
import { createHash, randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import {
  BlobSASPermissions,
  BlobServiceClient,
  ContainerClient,
  generateBlobSASQueryParameters,
  StorageSharedKeyCredential,
} from "@azure/storage-blob";

const env = process.env;
const MIB = 1 << 20;
const credential = new StorageSharedKeyCredential(env.CLIENT_ACCESS_KEY, env.CLIENT_SECRET_KEY);
const options = { retryOptions: { maxTries: 1 } };
const service = new BlobServiceClient(env.CLIENT_ENDPOINT, credential, options);
const files = service.getContainerClient(env.CLIENT_BUCKET);
const checked = [];
process.on("exit", () => console.log("checked:", checked.join(", ")));
process.on("uncaughtException", (error) => {
  console.error(error);
  console.log("FAILED:", `${error.name}: ${error.message}`);
  process.exit(1);
});

function same(got, expected, what) {
  if (JSON.stringify(got) !== JSON.stringify(expected)) {
    console.log("FAILED:", what, "expected", expected, "got", got);
    process.exit(1);
  }
}
const digest = (bytes) => createHash("md5").update(bytes).digest("base64");
const sizes = {};
for (const size of [0, 1, 65535, 65536, 65537, 262144, 262145, 4 * MIB + 1]) {
  const body = randomBytes(size);
  const blob = files.getBlockBlobClient(`größe ${size}`);
  await blob.upload(body, size, { metadata: { Colour: "blue" } });
  same(digest(await blob.downloadToBuffer()), digest(body), blob.name);
  const seen = await blob.getProperties();
  same([seen.contentLength, Buffer.from(seen.contentMD5).toString("base64"), seen.metadata], [size, digest(body), { colour: "blue" }], `properties of ${blob.name}`);
  sizes[blob.name] = size;
}
checked.push("bytes, in one");

const large = randomBytes(300 * MIB);
const blob = files.getBlockBlobClient("large");
await blob.uploadData(large, { blockSize: 8 * MIB, concurrency: 4 });
same(digest(await blob.downloadToBuffer(0, undefined, { concurrency: 4 })), digest(large), "300 MiB");
const hash = createHash("md5");
for await (const piece of (await blob.download()).readableStreamBody) hash.update(piece);
same(hash.digest("base64"), digest(large), "300 MiB as a stream");
sizes.large = large.length;
checked.push("300 MiB in blocks, in parallel, and as a stream");
for (const [start, count] of [[0, 1], [65535, 2], [8 * MIB - 5, 10], [300 * MIB - 1, 1]]) {
  const part = await blob.downloadToBuffer(start, count);
  same(part.toString("hex"), large.subarray(start, start + count).toString("hex"), `a range at ${start}`);
}
const ranged = await blob.download(100, 1000, { rangeGetContentMD5: true });
same(Buffer.from(ranged.contentMD5).toString("base64"), digest(large.subarray(100, 1100)), "the MD5 of a range");
checked.push("ranges and their MD5");

const stream = files.getBlockBlobClient("stream");
const body = randomBytes(20 * MIB + 5);
const slices = Array.from({ length: 21 }, (_, n) => body.subarray(n * MIB, (n + 1) * MIB));
await stream.uploadStream(Readable.from(slices), 3 * MIB, 3);
same(digest(await stream.downloadToBuffer()), digest(body), "a stream");
sizes.stream = body.length;
await stream.stageBlock(Buffer.from("000001").toString("base64"), "hello", 5, { transactionalContentMD5: createHash("md5").update("hello").digest() });
await stream.commitBlockList([Buffer.from("000001").toString("base64")]);
same((await stream.downloadToBuffer()).toString(), "hello", "a block list");
sizes.stream = 5;
checked.push("streams and blocks");

const append = files.getAppendBlobClient("append");
await append.create();
for (const part of ["one ", "two ", "three"]) await append.appendBlock(part, part.length);
same((await append.downloadToBuffer()).toString(), "one two three", "append");
same((await append.downloadToBuffer(2, 5)).toString(), "e two", "a range of an append blob");
sizes.append = 13;
checked.push("append");

const copy = files.getBlockBlobClient("copy");
const poller = await copy.beginCopyFromURL(blob.url);
same((await poller.pollUntilDone()).copyStatus, "success", "copy");
same((await copy.getProperties()).contentLength, large.length, "the copy");
sizes.copy = large.length;
const { snapshot } = await copy.createSnapshot();
const lease = copy.getBlobLeaseClient();
await lease.acquireLease(15);
await copy.setMetadata({ a: "b" }, { conditions: { leaseId: lease.leaseId } });
await lease.releaseLease();
same((await copy.withSnapshot(snapshot).getProperties()).metadata, {}, "the snapshot's metadata");
await copy.setTags({ a: "1" });
same((await copy.getTags()).tags, { a: "1" }, "tags");
checked.push("copy, snapshot, lease, metadata, tags");

const listed = {};
for await (const found of files.listBlobsFlat({ includeMetadata: true })) listed[found.name] = found.properties.contentLength;
same(Object.entries(listed).sort(), Object.entries(sizes).sort(), "sizes in the list");
checked.push("sizes in the list");
const permissions = BlobSASPermissions.parse("r");
const expiresOn = new Date(Date.now() + 3600e3);
const sas = generateBlobSASQueryParameters({ containerName: files.containerName, blobName: "append", permissions, expiresOn }, credential);
const reader = new ContainerClient(`${files.url}?${sas}`, undefined, options);
same((await reader.getBlobClient("append").downloadToBuffer()).toString(), "one two three", "through a SAS");
checked.push("SAS");
const answers = await service.getBlobBatchClient().deleteBlobs([append.url, stream.url], credential);
same(answers.subResponses.map((answer) => answer.status), [202, 202], "a batch");
checked.push("batch");
