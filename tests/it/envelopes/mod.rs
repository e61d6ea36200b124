//! Messages in envelopes, on SQS: SNS, extended-client pointers, S3's events. The real binary, the emulator's real deliveries.

mod contract;
mod emulated;
mod objects;
mod place;
mod pointers;
mod signer;
mod topics;
