//! Attachments in customers' buckets: what may be read, and what must be refused.

use rand::Rng;
use serde_json::{Value, json};

use super::super::customers::{Customer, Door, Object};
use super::super::expect::Outcome;
use super::super::http::Content;
use super::Draw;

impl<'a> Draw<'a> {
    /// An attachment of a team that has a bucket, mostly such that can be had.
    pub(super) fn of_bucket(&mut self, customer: &'a Customer) -> (Value, Outcome) {
        match self.random.random_range(0..100) {
            0..4 => self.of_another(customer),
            4..8 if customer.door == Door::Role => {
                (json!({"url": customer.url(&format!("no/{}", self.number()))}), Outcome::Failed("not_found"))
            }
            8..10 => self.large_object(customer),
            _ => {
                let magnitude = self.random.random_range(0..17);
                let size = self.random.random_range(0..=1usize << magnitude);
                self.object(customer, size)
            }
        }
    }

    /// Something of `size` bytes in the customer's bucket.
    fn object(&mut self, customer: &'a Customer, size: usize) -> (Value, Outcome) {
        let number = self.number();
        // Now and then a key that must be written otherwise in an address.
        let key = if number.is_multiple_of(7) {
            format!("d {number}/ä+b%41&{number}.bin")
        } else {
            format!("d/{number}.bin")
        };
        let object = Object { team: customer.team, key, size };
        let (url, target) = (json!({"url": customer.url(&object.key)}), customer.target(&object.key));
        if matches!(customer.door, Door::WrongId | Door::MissingId | Door::StrangersRole) {
            return (url, Outcome::Failed("integration_broken"));
        }
        let content = object.content();
        self.objects.push(object);
        (url, Outcome::Copied { content, target })
    }

    /// A task of team `team` with `count` attachments of `size` bytes in its bucket.
    pub(crate) fn task_in_bucket(&mut self, team: &'static str, count: usize, size: usize) -> super::Sent {
        let customers = self.customers.expect("the world has customers");
        let customer = customers.of(team).expect("the team is one of them");
        let drawn = (0..count).map(|_| self.object(customer, size)).collect();
        self.team = team;
        self.task_of(drawn)
    }

    /// A task of a customer's team with one attachment, which lies in its bucket already.
    pub(crate) fn task_of_object(&mut self, customer: &Customer, key: &str, content: Content) -> super::Sent {
        self.team = customer.team;
        let outcome = Outcome::Copied { content, target: customer.target(key) };
        self.task_of(vec![(json!({"url": customer.url(key)}), outcome)])
    }

    fn large_object(&mut self, customer: &'a Customer) -> (Value, Outcome) {
        if self.large_left == 0 {
            return self.object(customer, 5_000);
        }
        self.large_left -= 1;
        let size = self.random.random_range(8 << 20..18 << 20);
        self.object(customer, size)
    }

    /// An address in somebody else's bucket.
    fn of_another(&mut self, customer: &'a Customer) -> (Value, Outcome) {
        let others = self.customers.into_iter().flat_map(super::Customers::all);
        let other = others.filter(|other| other.team != customer.team).last();
        let bucket = other.map_or("some-bucket", |other| &other.bucket);
        (json!({"url": format!("s3://{bucket}/d/{}", self.number())}), unlisted(customer))
    }
}

/// What becomes of a bucket that the team does not list.
pub(super) fn unlisted(customer: &Customer) -> Outcome {
    Outcome::Failed(match customer.door {
        Door::Role | Door::ReadOnlyRole | Door::WrongId | Door::MissingId | Door::StrangersRole => "bucket_not_allowed",
        Door::Policy => "integration_missing",
    })
}
