// The AWS SDK for Go, version 2: objects, managed uploads and downloads in parts, ranges, copies, presigned URLs.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/s3/manager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
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
	bucket, prefix := aws.String(os.Getenv("CLIENT_BUCKET")), os.Getenv("CLIENT_PREFIX")
	client := s3.New(s3.Options{
		BaseEndpoint: aws.String(os.Getenv("CLIENT_ENDPOINT")),
		Region:       os.Getenv("CLIENT_REGION"),
		Credentials:  credentials.NewStaticCredentialsProvider(os.Getenv("CLIENT_ACCESS_KEY"), os.Getenv("CLIENT_SECRET_KEY"), ""),
		UsePathStyle: true,
	})
	sizes := map[string]int64{}
	read := func(key, from string) []byte {
		input := &s3.GetObjectInput{Bucket: bucket, Key: &key}
		if from != "" {
			input.Range = &from
		}
		got, err := client.GetObject(ctx, input)
		holds(err == nil, "GET", key, err)
		body, err := io.ReadAll(got.Body)
		holds(err == nil, "GET", key, err)
		return body
	}
	whole := func(key string, expected []byte) {
		holds(bytes.Equal(read(key, ""), expected), "bytes of", key)
		head, err := client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: bucket, Key: &key})
		holds(err == nil && *head.ContentLength == int64(len(expected)), "HEAD", key, err)
		sizes[key] = int64(len(expected))
	}

	for _, size := range []int{0, 1, 65536, 65537, 5*mib + 1} {
		key, body := fmt.Sprintf("%sgröße %d", prefix, size), content(size)
		_, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: &key, Body: bytes.NewReader(body)})
		holds(err == nil, "PUT", key, err)
		whole(key, body)
	}
	has("bytes")

	big, key := content(20*mib), prefix+"managed"
	// No Seek: the manager can't know the length beforehand.
	stream := struct{ io.Reader }{bytes.NewReader(big)}
	_, err := manager.NewUploader(client).Upload(ctx, &s3.PutObjectInput{Bucket: bucket, Key: &key, Body: stream})
	holds(err == nil, "Upload", err)
	whole(key, big)
	buffer := manager.NewWriteAtBuffer(nil)
	_, err = manager.NewDownloader(client).Download(ctx, buffer, &s3.GetObjectInput{Bucket: bucket, Key: &key})
	holds(err == nil && bytes.Equal(buffer.Bytes(), big), "Download", err)
	has("multipart")
	for _, at := range [][2]int{{0, 0}, {65530, 65540}, {5*mib - 2, 5*mib + 2}, {20*mib - 2, 20*mib - 1}} {
		holds(bytes.Equal(read(key, fmt.Sprintf("bytes=%d-%d", at[0], at[1])), big[at[0]:at[1]+1]), "range", at)
	}
	has("ranges")

	copied, source := prefix+"copy", *bucket+"/"+url.PathEscape(key)
	_, err = client.CopyObject(ctx, &s3.CopyObjectInput{Bucket: bucket, Key: &copied, CopySource: &source})
	holds(err == nil, "CopyObject", err)
	whole(copied, big)
	has("copy")

	signer, signed := s3.NewPresignClient(client), prefix+"presigned"
	put, err := signer.PresignPutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: &signed})
	holds(err == nil, "presign", err)
	request, err := http.NewRequest(put.Method, put.URL, strings.NewReader("by URL"))
	holds(err == nil, err)
	answer, err := http.DefaultClient.Do(request)
	holds(err == nil && answer.StatusCode == 200, "presigned PUT", err, answer)
	get, err := signer.PresignGetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: &signed})
	holds(err == nil, "presign", err)
	answer, err = http.Get(get.URL)
	holds(err == nil, "presigned GET", err)
	body, err := io.ReadAll(answer.Body)
	holds(err == nil && string(body) == "by URL", "presigned GET", answer.StatusCode, err)
	sizes[signed] = 6
	has("presigned URLs")

	var names []types.ObjectIdentifier
	pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: bucket, Prefix: &prefix, MaxKeys: aws.Int32(3)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		holds(err == nil, "LIST", err)
		for _, entry := range page.Contents {
			holds(*entry.Size == sizes[*entry.Key], "LIST", *entry.Key, *entry.Size)
			names = append(names, types.ObjectIdentifier{Key: entry.Key})
		}
	}
	holds(len(names) == len(sizes), "LIST", len(names), len(sizes))
	has("sizes in LIST and HEAD")
	gone, err := client.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: bucket, Delete: &types.Delete{Objects: names}})
	holds(err == nil && len(gone.Errors) == 0, "DeleteObjects", err)
	fmt.Println("checked:", strings.Join(checked, ", "))
}
