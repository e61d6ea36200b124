//! Draws tasks of all kinds from a seed, each with its expected end.

mod buckets;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use super::customers::{Customers, Object};
use super::expect::{End, Outcome, Part, Sent, Wanted};
use super::origin::Origin;
use super::world::{PLAIN_TEAMS, World};
use super::{bad_messages, hard_urls};

/// Draws messages.
pub(crate) struct Draw<'a> {
    origin: &'a Origin,
    random: StdRng,
    /// Told apart in names: of this many so far.
    drawn: u32,
    /// How many more large ones may be drawn.
    large_left: u32,
    /// Added to the queries of what is fetched.
    how: String,
    /// Whose buckets are read too.
    customers: Option<&'a Customers>,
    /// Whose task is drawn.
    team: &'static str,
    /// Whose all tasks are, if they are of one team.
    only_team: Option<&'static str>,
    /// What must be put into the customers' buckets.
    objects: Vec<Object>,
    /// The last number of the origin's address that is asked: 127.0.0.1 and on.
    host: u8,
}

impl<'a> Draw<'a> {
    /// Draws from `seed`, for fetches from `origin`.
    pub(crate) fn new(seed: u64, origin: &'a Origin) -> Self {
        Self {
            origin,
            random: StdRng::seed_from_u64(seed),
            drawn: 0,
            large_left: 6,
            how: String::new(),
            customers: None,
            team: PLAIN_TEAMS[0],
            only_team: None,
            objects: Vec::new(),
            host: 1,
        }
    }

    /// Draws for a world: from its customers' buckets too, where it has any.
    pub(crate) fn of(seed: u64, world: &'a World) -> Self {
        Self { customers: world.customers.as_ref(), ..Self::new(seed, &world.origin) }
    }

    /// What must be put into the customers' buckets before the messages are sent.
    pub(crate) fn objects(&mut self) -> Vec<Object> {
        std::mem::take(&mut self.objects)
    }

    /// Makes the origin wait so many seconds before each answer's body.
    pub(crate) fn slow_down(&mut self, secs: &str) {
        self.how = format!("&first_byte_delay={secs}");
    }

    /// Fetches from 127.0.0.`host` from now on.
    pub(crate) fn on_host(&mut self, host: u8) -> &mut Self {
        self.host = host;
        self
    }

    /// Draws for `team` alone from now on.
    pub(crate) fn only_of(&mut self, team: &'static str) -> &mut Self {
        (self.team, self.only_team) = (team, Some(team));
        self
    }

    /// `count` messages of all kinds, the bad ones among them, in random order of kinds.
    pub(crate) fn mixed(&mut self, count: usize) -> Vec<Sent> {
        let mut sent = bad_messages::all(&self.origin.address.to_string());
        sent.push(self.with_many_attachments(150));
        sent.push(self.with_large_metadata());
        while sent.len() < count {
            match self.random.random_range(0..100) {
                0..2 => sent.extend(self.twice()),
                2 => sent.extend(self.conflicting()),
                3..6 => sent.push(self.in_another_form()),
                _ => sent.push(self.task(true)),
            }
        }
        sent.truncate(count);
        // Conflicts and doubles then meet at random distances.
        for index in (1..sent.len()).rev() {
            sent.swap(index, self.random.random_range(0..=index));
        }
        sent
    }

    /// `count` tasks whose attachments can all be had, or fail for good at once.
    pub(crate) fn plain(&mut self, count: usize) -> Vec<Sent> {
        (0..count).map(|_| self.task(false)).collect()
    }

    /// `count` tasks of one small attachment.
    pub(crate) fn singles(&mut self, count: usize) -> Vec<Sent> {
        (0..count).map(|_| self.single(2_000, "")).collect()
    }

    /// A task of one attachment of `size` bytes.
    pub(crate) fn single(&mut self, size: u64, how: &str) -> Sent {
        let drawn = vec![self.sized(size, how)];
        self.task_of(drawn)
    }

    /// A task of `team` with `count` small attachments.
    pub(crate) fn many_of(&mut self, team: &'static str, count: usize) -> Sent {
        let drawn = (0..count).map(|_| self.sized(2_000, "")).collect();
        let mut sent = self.task_of(drawn);
        let mut body: Value = serde_json::from_slice(&sent.body).unwrap();
        body["team"] = json!(team);
        if let End::Receipt(wanted) = &mut sent.end {
            team.clone_into(&mut wanted.team);
        }
        sent.with_body(&body)
    }

    /// A task of 1 to 4 attachments; `hard`: also such that fail only after all tries.
    pub(crate) fn task(&mut self, hard: bool) -> Sent {
        let count = *[1, 1, 1, 2, 2, 3, 4].get(self.random.random_range(0..7)).unwrap();
        let drawn: Vec<_> = (0..count).map(|_| self.attachment(hard)).collect();
        self.task_of(drawn)
    }

    fn with_many_attachments(&mut self, count: usize) -> Sent {
        let drawn = (0..count).map(|_| self.blob("")).collect();
        self.task_of(drawn)
    }

    fn with_large_metadata(&mut self) -> Sent {
        let drawn = vec![self.blob("")];
        let sent = self.task_of(drawn);
        let mut body: Value = serde_json::from_slice(&sent.body).unwrap();
        body["metadata"] = json!({"long": "m".repeat(500_000)});
        sent.with_body(&body)
    }

    fn task_of(&mut self, drawn: Vec<(Value, Outcome)>) -> Sent {
        self.drawn += 1;
        let (team, task) = (self.team, format!("t-{}", self.drawn));
        self.team = self.any_team();
        let mut attachments = Vec::new();
        let mut parts = Vec::new();
        for (index, (mut attachment, outcome)) in drawn.into_iter().enumerate() {
            let named = self.random.random_bool(0.3);
            let id = if named { format!("part.{index}") } else { index.to_string() };
            if named {
                attachment["id"] = json!(id);
            }
            let is_plain_url = attachment.as_object().is_some_and(|map| map.len() == 1 && map.contains_key("url"));
            attachments.push(if is_plain_url { attachment["url"].clone() } else { attachment });
            parts.push(Part { id, outcome });
        }
        let metadata = json!({"seed": self.random.random::<u32>()});
        let body =
            json!({"task_id": task, "team": team, "attachments": attachments, "metadata": metadata, "project": "p"});
        let end = End::Receipt(Wanted { team: team.to_owned(), task: task.clone(), parts });
        Sent::new(format!("m-{task}"), body.to_string(), end)
    }

    fn any_team(&mut self) -> &'static str {
        if let Some(team) = self.only_team {
            return team;
        }
        let customers = self.customers.into_iter().flat_map(Customers::all).map(|customer| customer.team);
        let teams: Vec<_> = PLAIN_TEAMS.into_iter().chain(customers).collect();
        teams[self.random.random_range(0..teams.len())]
    }

    /// The same message twice.
    fn twice(&mut self) -> [Sent; 2] {
        let first = self.task(true);
        let second = Sent { id: format!("{}-again", first.id), ..first.clone() };
        [first, second]
    }

    /// Two messages with one task id and other attachments.
    fn conflicting(&mut self) -> [Sent; 2] {
        // The same content by another team may not be had: whose bucket would it be?
        let customers = self.customers.take();
        let (first, other) = (self.task(false), self.task(false));
        self.customers = customers;
        let (mut body, mut end): (Value, _) = (serde_json::from_slice(&other.body).unwrap(), other.end);
        let wanted = first.wanted().unwrap();
        body["task_id"] = json!(wanted.task);
        body["team"] = json!(wanted.team);
        if let End::Receipt(other) = &mut end {
            other.task.clone_from(&wanted.task);
            other.team.clone_from(&wanted.team);
        }
        let second = Sent::new(format!("{}-other", first.id), body.to_string(), end);
        [first, second]
    }

    /// A task in a labelling system's form, in an envelope, or with its team beside the body.
    fn in_another_form(&mut self) -> Sent {
        let drawn = vec![self.blob("")];
        let url = drawn[0].0["url"].clone();
        let mut sent = self.task_of(drawn);
        let mut body: Value = serde_json::from_slice(&sent.body).unwrap();
        let (task, team) = (body["task_id"].clone(), body["team"].clone());
        match self.random.random_range(0..3) {
            0 => body = json!({"unique_id": task, "team": team, "attachment": url, "attachment_type": "image"}),
            1 => body = json!({"specversion": "1.0", "id": "e", "source": "/test", "type": "task", "data": body}),
            _ => {
                body.as_object_mut().unwrap().remove("team");
                sent.team_attribute = team.as_str().map(str::to_owned);
            }
        }
        if let (End::Receipt(wanted), Some(_)) = (&mut sent.end, body.get("attachment")) {
            wanted.parts[0].id = "0".to_owned();
        }
        sent.with_body(&body)
    }

    fn attachment(&mut self, hard: bool) -> (Value, Outcome) {
        if let Some(customer) = self.customers.and_then(|customers| customers.of(self.team))
            && self.random.random_bool(0.6)
        {
            return self.of_bucket(customer);
        }
        match self.random.random_range(0..if hard { 100 } else { 80 }) {
            0..38 => self.blob(""),
            38..42 => self.blob("&etag="),
            42..45 => self.blob("&chunked=1"),
            45..48 => self.blob("&repr_digest=1&content_md5=1"),
            48..51 => self.blob("&gzip=1"),
            51..54 => self.blob("&nolength=1"),
            54..57 => self.blob("&X-Amz-Signature=abc&X-Amz-Expires=60"),
            57..61 => self.redirected(),
            61..66 => self.of_kind("kind=png&width=33&height=21"),
            66..71 => self.of_kind("kind=text"),
            71..74 => {
                (json!({"text": format!("text {}", self.number())}), Outcome::Text(format!("text {}", self.drawn)))
            }
            74..77 => self.failing("&status=404", "not_found"),
            77..79 => self.failing("&status=403", "access_denied"),
            79 => self.large(),
            80..86 => self.blob("&fail=2"),
            86..90 => self.blob("&first_byte_delay=0.3"),
            90 => self.failing("&status=500", "unavailable"),
            91 => self.failing("&truncate=10", "truncated"),
            _ => {
                let (url, outcome) = hard_urls::pick(self.random.random(), self.number(), self.origin);
                match self.customers.and_then(|customers| customers.of(self.team)) {
                    Some(customer) if url["url"].as_str().is_some_and(|url| url.starts_with("s3://")) => {
                        (url, buckets::unlisted(customer))
                    }
                    Some(_) | None => (url, outcome),
                }
            }
        }
    }

    fn number(&mut self) -> u32 {
        self.drawn += 1;
        self.drawn
    }

    fn blob(&mut self, how: &str) -> (Value, Outcome) {
        let magnitude = self.random.random_range(4..17);
        let size = self.random.random_range(1..=1u64 << magnitude);
        self.sized(size, how)
    }

    fn large(&mut self) -> (Value, Outcome) {
        if self.large_left == 0 {
            return self.blob("");
        }
        self.large_left -= 1;
        let size = self.random.random_range(8 << 20..21 << 20);
        self.sized(size, "")
    }

    fn sized(&mut self, size: u64, how: &str) -> (Value, Outcome) {
        let oracle = format!("/blob/{}?size={size}", self.number());
        let target = format!("{oracle}{how}{}", self.how);
        (json!({"url": self.origin.url_on(self.host, &target)}), Outcome::Fetched { oracle, target })
    }

    fn of_kind(&mut self, kind: &str) -> (Value, Outcome) {
        let target = format!("/blob/{}?{kind}", self.number());
        (json!({"url": self.origin.url(&target)}), Outcome::Fetched { oracle: target.clone(), target })
    }

    fn redirected(&mut self) -> (Value, Outcome) {
        let number = self.number();
        if self.random.random_bool(0.5) {
            let target = format!("/blob/end?seed={number}&size=300");
            let url = self.origin.url(&format!("/hops/4?seed={number}&size=300"));
            return (json!({"url": url}), Outcome::Fetched { oracle: target.clone(), target });
        }
        let target = format!("/blob/{number}?size=700");
        let to: String = url::form_urlencoded::byte_serialize(self.origin.url(&target).as_bytes()).collect();
        (
            json!({"url": self.origin.url(&format!("/redirect?to={to}"))}),
            Outcome::Fetched { oracle: target.clone(), target },
        )
    }

    fn failing(&mut self, how: &str, code: &'static str) -> (Value, Outcome) {
        let target = format!("/blob/{}?size=5000{how}", self.number());
        (json!({"url": self.origin.url(&target)}), Outcome::Failed(code))
    }
}
