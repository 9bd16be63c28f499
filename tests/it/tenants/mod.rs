//! For which tenant a request is: buckets that tenants share, buckets named by patterns or by the host, buckets open to the world, and as
//! whom the store is then asked. What is not permitted is refused, and nothing is told or done.

mod anonymous;
mod door;
mod hosts;
mod own;
mod patterns;
mod shared;
