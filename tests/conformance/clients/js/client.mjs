// The AWS SDK for JavaScript, version 3: buffers, streams of unknown length, managed multipart uploads, presigned URLs.
import { createHash, randomBytes } from "node:crypto";
import { createReadStream, writeFileSync } from "node:fs";
import { Readable } from "node:stream";
import {
  CopyObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  paginateListObjectsV2,
  PutObjectCommand,
  S3Client,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";

const env = process.env;
const Bucket = env.CLIENT_BUCKET;
const prefix = env.CLIENT_PREFIX;
const MIB = 1 << 20;
const client = new S3Client({
  endpoint: env.CLIENT_ENDPOINT,
  region: env.CLIENT_REGION,
  credentials: { accessKeyId: env.CLIENT_ACCESS_KEY, secretAccessKey: env.CLIENT_SECRET_KEY },
  forcePathStyle: true,
});
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
const digest = (bytes) => createHash("sha256").update(bytes).digest("hex");
const read = async (Key, more = {}) =>
  Buffer.from(await (await client.send(new GetObjectCommand({ Bucket, Key, ...more }))).Body.transformToByteArray());
const isWhole = async (Key, bytes) => {
  same(digest(await read(Key)), digest(bytes), Key);
  same((await client.send(new HeadObjectCommand({ Bucket, Key }))).ContentLength, bytes.length, `HEAD ${Key}`);
};

const sizes = {};
for (const size of [0, 1, 65536, 65537, 2 * MIB, 5 * MIB + 1]) {
  const Key = `${prefix}größe ${size}`;
  const Body = randomBytes(size);
  await client.send(new PutObjectCommand({ Bucket, Key, Body, Metadata: { colour: "blue" } }));
  await isWhole(Key, Body);
  sizes[Key] = size;
}
checked.push("bytes");

// A stream whose length is told: chunked frames with a trailer, over plain HTTP too.
const whole = randomBytes(20 * MIB);
const file = `${env.CLIENT_SCRATCH}/whole`;
writeFileSync(file, whole);
let Key = `${prefix}stream`;
await client.send(new PutObjectCommand({ Bucket, Key, Body: createReadStream(file), ContentLength: whole.length }));
await isWhole(Key, whole);
sizes[Key] = whole.length;
checked.push("stream");

Key = `${prefix}managed`;
await new Upload({ client, params: { Bucket, Key, Body: Readable.from([whole.subarray(0, 7 * MIB), whole.subarray(7 * MIB)]) } }).done();
await isWhole(Key, whole);
sizes[Key] = whole.length;
checked.push("multipart");

for (const [first, last] of [[0, 0], [65530, 65540], [5 * MIB - 2, 5 * MIB + 2], [20 * MIB - 1, 20 * MIB + 9]]) {
  const piece = await read(Key, { Range: `bytes=${first}-${last}` });
  same(digest(piece), digest(whole.subarray(first, last + 1)), `range ${first}`);
}
checked.push("ranges");

Key = `${prefix}copy`;
await client.send(new CopyObjectCommand({ Bucket, Key, CopySource: `${Bucket}/${encodeURIComponent(`${prefix}managed`)}` }));
await isWhole(Key, whole);
sizes[Key] = whole.length;
checked.push("copy");

Key = `${prefix}presigned`;
const put = new PutObjectCommand({ Bucket, Key, Metadata: { colour: "red" } });
const answer = await fetch(await getSignedUrl(client, put), { method: "PUT", body: "by URL" });
same(answer.status, 200, `presigned PUT: ${await answer.text()}`);
same(await (await fetch(await getSignedUrl(client, new GetObjectCommand({ Bucket, Key })))).text(), "by URL", "presigned GET");
same((await client.send(new HeadObjectCommand({ Bucket, Key }))).Metadata, { colour: "red" }, "metadata that the URL states");
sizes[Key] = 6;
checked.push("presigned URLs");

const listed = {};
for await (const page of paginateListObjectsV2({ client, pageSize: 3 }, { Bucket, Prefix: prefix })) {
  for (const entry of page.Contents ?? []) listed[entry.Key] = entry.Size;
}
const sorted = (object) => Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1));
same(sorted(listed), sorted(sizes), "LIST");
checked.push("sizes in LIST and HEAD");
const Objects = Object.keys(listed).map((Key) => ({ Key }));
same((await client.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects } }))).Errors ?? [], [], "errors of deletion");
