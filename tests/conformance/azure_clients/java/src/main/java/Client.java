// The Azure SDK for Java: in one and in blocks, in parallel, ranges with MD5, append, copies, snapshots, leases, tags, SAS, lists.

import com.azure.core.util.BinaryData;
import com.azure.storage.blob.BlobClient;
import com.azure.storage.blob.BlobContainerClient;
import com.azure.storage.blob.BlobContainerClientBuilder;
import com.azure.storage.blob.BlobClientBuilder;
import com.azure.storage.blob.models.*;
import com.azure.storage.blob.options.*;
import com.azure.storage.blob.sas.BlobSasPermission;
import com.azure.storage.blob.sas.BlobServiceSasSignatureValues;
import com.azure.storage.blob.specialized.BlobLeaseClientBuilder;
import com.azure.storage.common.ParallelTransferOptions;
import com.azure.storage.common.StorageSharedKeyCredential;
import com.azure.storage.common.policy.RequestRetryOptions;
import com.azure.storage.common.policy.RetryPolicyType;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.DigestInputStream;
import java.security.MessageDigest;
import java.time.Duration;
import java.time.OffsetDateTime;
import java.util.*;

final class Client {
    static final int MIB = 1 << 20;
    static final List<String> checked = new ArrayList<>();
    static final Map<String, Long> sizes = new TreeMap<>();
    static BlobContainerClient files;

    static void holds(boolean condition, String what) {
        if (!condition) {
            System.out.println("FAILED: " + what + "\nchecked: " + String.join(", ", checked));
            System.exit(1);
        }
    }

    static byte[] content(int size, int seed) {
        byte[] made = new byte[size];
        new Random(31L * size + seed).nextBytes(made);
        return made;
    }

    static byte[] md5(byte[] bytes) throws Exception {
        return MessageDigest.getInstance("MD5").digest(bytes);
    }

    static byte[] md5(InputStream bytes) throws Exception {
        try (DigestInputStream all = new DigestInputStream(bytes, MessageDigest.getInstance("MD5"))) {
            all.transferTo(OutputStream.nullOutputStream());
            return all.getMessageDigest().digest();
        }
    }

    static byte[] range(String name, long first, long count, boolean checks) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        BlobDownloadResponse answer = files.getBlobClient(name).downloadStreamWithResponse(out, new BlobRange(first, count), null, null, checks, null, null);
        try {
            byte[] stated = answer.getDeserializedHeaders().getContentMd5();
            holds(!checks || Arrays.equals(stated, md5(out.toByteArray())), "the MD5 of a range of " + name);
        } catch (Exception error) {
            throw new IllegalStateException(error);
        }
        return out.toByteArray();
    }

    static void whole(String name, byte[] expected) throws Exception {
        BlobClient blob = files.getBlobClient(name);
        // As the answer comes, and not held twice.
        int at = 0;
        try (var stream = blob.openInputStream()) {
            for (byte[] piece; (piece = stream.readNBytes(MIB)).length > 0; at += piece.length) {
                holds(at + piece.length <= expected.length && Arrays.equals(piece, 0, piece.length, expected, at, at + piece.length), "bytes of " + name);
            }
        }
        holds(at == expected.length, "all of " + name);
        Path file = Files.createTempFile(Path.of(System.getenv("CLIENT_SCRATCH")), "down", "");
        ParallelTransferOptions parts = new ParallelTransferOptions().setBlockSizeLong(3L * MIB + 1).setMaxConcurrency(4);
        blob.downloadToFileWithResponse(new BlobDownloadToFileOptions(file.toString()).setParallelTransferOptions(parts)
            .setOpenOptions(Set.of(java.nio.file.StandardOpenOption.WRITE, java.nio.file.StandardOpenOption.READ)), null, null);
        holds(Files.size(file) == expected.length && Arrays.equals(md5(Files.newInputStream(file)), md5(new ByteArrayInputStream(expected))), "bytes of " + name + " in parallel");
        Files.delete(file);
        holds(blob.getProperties().getBlobSize() == expected.length, "the size of " + name);
        sizes.put(name, (long) expected.length);
    }

    public static void main(String[] arguments) throws Exception {
        String account = System.getenv("CLIENT_ACCESS_KEY");
        RequestRetryOptions once = new RequestRetryOptions(RetryPolicyType.FIXED, 1, 600, null, null, null);
        BlobContainerClientBuilder builder = new BlobContainerClientBuilder().endpoint(System.getenv("CLIENT_ENDPOINT") + "/" + System.getenv("CLIENT_BUCKET"))
            .retryOptions(once);
        files = builder.credential(new StorageSharedKeyCredential(account, System.getenv("CLIENT_SECRET_KEY"))).buildClient();
        for (int size : new int[] {0, 1, 65535, 65536, 65537, 262144, 262145, 4 * MIB + 1}) {
            byte[] body = content(size, 0);
            String name = "größe " + size;
            BlobParallelUploadOptions options = new BlobParallelUploadOptions(BinaryData.fromBytes(body)).setComputeMd5(true).setMetadata(Map.of("Colour", "blue"));
            files.getBlobClient(name).uploadWithResponse(options, null, null);
            whole(name, body);
            BlobProperties seen = files.getBlobClient(name).getProperties();
            holds(Arrays.equals(seen.getContentMd5(), md5(body)) && seen.getMetadata().containsValue("blue"), "properties of " + name);
        }
        checked.add("bytes, in one, with MD5");

        byte[] large = content(300 * MIB, 1);
        var parts = new com.azure.storage.blob.models.ParallelTransferOptions().setBlockSizeLong(8L * MIB).setMaxSingleUploadSizeLong(8L * MIB).setMaxConcurrency(4);
        files.getBlobClient("large").uploadWithResponse(
            new BlobParallelUploadOptions(new ByteArrayInputStream(large)).setParallelTransferOptions(parts).setComputeMd5(true), null, null);
        whole("large", large);
        checked.add("300 MiB in blocks, both ways in parallel");
        for (long first : new long[] {0, 65535, 8L * MIB - 5, 300L * MIB - 10}) {
            holds(Arrays.equals(range("large", first, 10, true), Arrays.copyOfRange(large, (int) first, (int) first + 10)), "a range at " + first);
        }
        checked.add("ranges and their MD5");

        var rows = files.getBlobClient("append").getAppendBlobClient();
        rows.create();
        ByteArrayOutputStream row = new ByteArrayOutputStream();
        for (int size : new int[] {6, 100_000, 1, 4 * MIB}) {
            byte[] part = content(size, 2);
            rows.appendBlockWithResponse(new ByteArrayInputStream(part), size, md5(part), null, null, null);
            row.write(part);
        }
        whole("append", row.toByteArray());
        holds(Arrays.equals(range("append", 100_000, 10, false), Arrays.copyOfRange(row.toByteArray(), 100_000, 100_010)), "a range of rows");
        checked.add("append");

        for (String name : new String[] {"large", "append"}) {
            BlobCopyInfo done = files.getBlobClient("copy of " + name).beginCopy(files.getBlobClient(name).getBlobUrl(), Duration.ofMillis(100)).waitForCompletion(Duration.ofMinutes(5)).getValue();
            holds(done.getCopyStatus() == CopyStatusType.SUCCESS, "copy");
            whole("copy of " + name, name.equals("large") ? large : row.toByteArray());
        }
        BlobClient copy = files.getBlobClient("copy of large");
        var snapshot = copy.createSnapshot();
        var lease = new BlobLeaseClientBuilder().blobClient(copy).buildClient();
        String id = lease.acquireLease(15);
        copy.setMetadataWithResponse(Map.of("a", "b"), new BlobRequestConditions().setLeaseId(id), null, null);
        lease.releaseLease();
        copy.setTags(Map.of("a", "1"));
        holds(copy.getTags().equals(Map.of("a", "1")), "tags");
        holds(Arrays.equals(md5(snapshot.openInputStream()), md5(large)) && snapshot.getProperties().getMetadata().isEmpty(), "the snapshot");
        checked.add("copies, snapshot, lease, metadata, tags");

        Map<String, Long> listed = new TreeMap<>();
        for (var page : files.listBlobs(new ListBlobsOptions().setMaxResultsPerPage(3), null).iterableByPage()) {
            page.getValue().forEach(blob -> listed.put(blob.getName(), blob.getProperties().getContentLength()));
        }
        holds(listed.equals(sizes), "sizes in the list: " + listed);
        checked.add("sizes in the list, by pages");
        String sas = files.getBlobClient("append").generateSas(new BlobServiceSasSignatureValues(OffsetDateTime.now().plusHours(1), new BlobSasPermission().setReadPermission(true)));
        BlobClient reader = new BlobClientBuilder().endpoint(files.getBlobClient("append").getBlobUrl()).sasToken(sas).retryOptions(once).buildClient();
        holds(Arrays.equals(reader.downloadContent().toBytes(), row.toByteArray()), "through a SAS");
        checked.add("SAS");
        System.out.println("checked: " + String.join(", ", checked));
        System.exit(0);
    }
}
