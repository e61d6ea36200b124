//! Queues, dead letters and events on SQS, against the emulator of the test bed.

mod cases;
mod dead;
mod events;
pub(crate) mod fixture;
mod large;
mod load;
mod trouble;

mod standard {
    use super::fixture::Standard;

    longshore::queue_contract!(Standard, #[tokio::test(flavor = "multi_thread", worker_threads = 2)]);
}

mod fifo {
    use super::fixture::Fifo;

    longshore::queue_contract!(Fifo, #[tokio::test(flavor = "multi_thread", worker_threads = 2)]);
}
