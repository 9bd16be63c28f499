// The Azure SDK for Go: buffers and streams, in one and in blocks, ranges, append, copies, leases, tags, SAS.
package main

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/appendblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/lease"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"
)

const mib = 1 << 20

var checked []string

func has(what string) { checked = append(checked, what) }

func holds(condition bool, what ...any) {
	if !condition {
		fmt.Println(append([]any{"FAILED:"}, what...)...)
		fmt.Println("checked:", strings.Join(checked, ", "))
		os.Exit(1)
	}
}

func content(size int) []byte {
	made := make([]byte, size)
	_, err := rand.Read(made)
	holds(err == nil, err)
	return made
}

func main() {
	ctx := context.Background()
	at := os.Getenv("CLIENT_ENDPOINT") + "/" + os.Getenv("CLIENT_BUCKET")
	key, err := container.NewSharedKeyCredential(os.Getenv("CLIENT_ACCESS_KEY"), os.Getenv("CLIENT_SECRET_KEY"))
	holds(err == nil, err)
	options := &container.ClientOptions{}
	options.Retry = policy.RetryOptions{MaxRetries: -1}
	files, err := container.NewClientWithSharedKeyCredential(at, key, options)
	holds(err == nil, err)
	sizes := map[string]int64{}
	whole := func(name string, expected []byte) {
		got, err := files.NewBlobClient(name).DownloadStream(ctx, nil)
		holds(err == nil, name, err)
		body, err := io.ReadAll(got.Body)
		holds(err == nil && bytes.Equal(body, expected), "bytes of", name, err)
		buffer := make([]byte, len(expected))
		if len(expected) > 0 {
			_, err = files.NewBlobClient(name).DownloadBuffer(ctx, buffer, &blob.DownloadBufferOptions{BlockSize: 3*mib + 1, Concurrency: 4})
			holds(err == nil && bytes.Equal(buffer, expected), "bytes of", name, "in parallel", err)
		}
		sizes[name] = int64(len(expected))
	}
	for _, size := range []int{0, 1, 65535, 65536, 65537, 262144, 262145, 4*mib + 1} {
		body, name := content(size), fmt.Sprintf("größe %d", size)
		sum := md5.Sum(body)
		_, err := files.NewBlockBlobClient(name).Upload(ctx, streaming.NopCloser(bytes.NewReader(body)), &blockblob.UploadOptions{
			TransactionalValidation: blob.TransferValidationTypeComputeCRC64(), Metadata: map[string]*string{"Colour": to.Ptr("blue")},
		})
		holds(err == nil, name, err)
		whole(name, body)
		seen, err := files.NewBlobClient(name).GetProperties(ctx, nil)
		holds(err == nil && *seen.ContentLength == int64(size) && bytes.Equal(seen.ContentMD5, sum[:]), "properties of", name, err)
	}
	has("bytes, in one, with CRC-64")

	large := content(300 * mib)
	_, err = files.NewBlockBlobClient("large").UploadBuffer(ctx, large, &blockblob.UploadBufferOptions{
		BlockSize: 8 * mib, Concurrency: 4, TransactionalValidation: blob.TransferValidationTypeComputeCRC64(),
	})
	holds(err == nil, "300 MiB", err)
	whole("large", large)
	_, err = files.NewBlockBlobClient("stream").UploadStream(ctx, bytes.NewReader(large[:20*mib+5]), &blockblob.UploadStreamOptions{BlockSize: 3 * mib, Concurrency: 3})
	holds(err == nil, "a stream", err)
	whole("stream", large[:20*mib+5])
	has("300 MiB in blocks and a stream, both ways in parallel")
	for _, from := range []int64{0, 65535, 8*mib - 5, 300*mib - 10} {
		part := make([]byte, 10)
		_, err = files.NewBlobClient("large").DownloadBuffer(ctx, part, &blob.DownloadBufferOptions{Range: blob.HTTPRange{Offset: from, Count: 10}})
		holds(err == nil && bytes.Equal(part, large[from:from+10]), "a range at", from, err)
	}
	got, err := files.NewBlobClient("large").DownloadStream(ctx, &blob.DownloadStreamOptions{Range: blob.HTTPRange{Offset: 100, Count: 1000}, RangeGetContentMD5: to.Ptr(true)})
	sum := md5.Sum(large[100:1100])
	holds(err == nil && bytes.Equal(got.ContentMD5, sum[:]), "the MD5 of a range", err)
	got.Body.Close()
	has("ranges and their MD5")

	rows := files.NewAppendBlobClient("append")
	_, err = rows.Create(ctx, nil)
	holds(err == nil, "append", err)
	for _, part := range []string{"one ", "two ", "three"} {
		_, err = rows.AppendBlock(ctx, streaming.NopCloser(strings.NewReader(part)), &appendblob.AppendBlockOptions{TransactionalValidation: blob.TransferValidationTypeComputeCRC64()})
		holds(err == nil, "append", err)
	}
	whole("append", []byte("one two three"))
	has("append")

	copied := files.NewBlobClient("copy")
	answer, err := copied.StartCopyFromURL(ctx, files.NewBlobClient("stream").URL(), nil)
	holds(err == nil && *answer.CopyStatus == blob.CopyStatusTypeSuccess, "copy", err)
	whole("copy", large[:20*mib+5])
	_, err = copied.CreateSnapshot(ctx, nil)
	holds(err == nil, "snapshot", err)
	held, err := lease.NewBlobClient(copied, nil)
	holds(err == nil, err)
	taken, err := held.AcquireLease(ctx, 15, nil)
	holds(err == nil, "lease", err)
	_, err = copied.SetMetadata(ctx, map[string]*string{"a": to.Ptr("b")}, &blob.SetMetadataOptions{AccessConditions: &blob.AccessConditions{LeaseAccessConditions: &blob.LeaseAccessConditions{LeaseID: taken.LeaseID}}})
	holds(err == nil, "metadata under a lease", err)
	_, err = held.ReleaseLease(ctx, nil)
	holds(err == nil, "release", err)
	_, err = copied.SetTags(ctx, map[string]string{"a": "1"}, nil)
	holds(err == nil, "tags", err)
	tags, err := copied.GetTags(ctx, nil)
	holds(err == nil && *tags.BlobTagSet[0].Value == "1", "tags", err)
	has("copy, snapshot, lease, metadata, tags")

	pages, seen := files.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{MaxResults: to.Ptr(int32(3)), Include: container.ListBlobsInclude{Metadata: true}}), 0
	for pages.More() {
		page, err := pages.NextPage(ctx)
		holds(err == nil, "list", err)
		for _, entry := range page.Segment.BlobItems {
			holds(sizes[*entry.Name] == *entry.Properties.ContentLength, "the size in the list of", *entry.Name)
			seen++
		}
	}
	holds(seen == len(sizes), "how many are listed", seen)
	has("sizes in the list, by pages")
	url, err := rows.GetSASURL(sas.BlobPermissions{Read: true}, time.Now().Add(time.Hour), nil)
	holds(err == nil, err)
	reader, err := blob.NewClientWithNoCredential(url, nil)
	holds(err == nil, err)
	shared, err := reader.DownloadStream(ctx, nil)
	holds(err == nil, "SAS", err)
	body, err := io.ReadAll(shared.Body)
	holds(err == nil && string(body) == "one two three", "through a SAS", err)
	has("SAS")
	fmt.Println("checked:", strings.Join(checked, ", "))
}
