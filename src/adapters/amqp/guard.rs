//! A guard between the broker and the client library: what a sender's message can hold and the library cannot read.
//!
//! - The library reads a table in a table by calling itself. Twenty thousand levels fit into a frame and leave no stack: the message
//!   would kill each process that it comes to, before anybody could suspect it. So what lies deeper than [`LEVELS_MAX`] is turned into
//!   bytes. Tables, lists and byte arrays are written alike, as a letter, a length, and so many bytes: only the letter changes.
//! - The library gives its connection up when a short text (a message's id, a header's name, a routing key) is not UTF-8, which the
//!   broker does not mind: the message would come again, and do so again, for ever. So bytes that make none are changed.
//!
//! It follows the frames of messages as they come, byte by byte, and trusts no length beyond its frame's. What the broker itself says
//! is trusted.

/// How deep headers may be nested; what RabbitMQ itself adds has three levels.
const LEVELS_MAX: usize = 64;

/// Kinds of frames: a method, and a message's properties.
const METHOD_FRAME: u8 = 1;
const HEADER_FRAME: u8 = 2;
/// Methods that bring a message, by class and method.
const DELIVER: [u8; 4] = [0, 60, 0, 60];
const GET_OK: [u8; 4] = [0, 60, 0, 71];
/// A delivery's tag, and whether it is one more.
const TAG: Step = Step::Skip(8 + 1);
/// What stands before the properties' flags: the class, a weight, and the body's length.
const BEFORE_FLAGS: u32 = 2 + 2 + 8;

/// What may stand one after the other in a frame.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// A length in one byte, and so many bytes of text.
    Text,
    /// So many bytes that are as they may be.
    Skip(u32),
    /// A table.
    Headers,
}

/// A message's properties, each with the bit of the flags that says that it is there, from the last one on.
const PROPERTIES: [(u16, Step); 14] = [
    (1 << 2, Step::Text),     // cluster id
    (1 << 3, Step::Text),     // application
    (1 << 4, Step::Text),     // user
    (1 << 5, Step::Text),     // type
    (1 << 6, Step::Skip(8)),  // timestamp
    (1 << 7, Step::Text),     // id
    (1 << 8, Step::Text),     // expiration
    (1 << 9, Step::Text),     // reply to
    (1 << 10, Step::Text),    // correlation id
    (1 << 11, Step::Skip(1)), // priority
    (1 << 12, Step::Skip(1)), // delivery mode
    (1 << 13, Step::Headers),
    (1 << 14, Step::Text), // encoding
    (1 << 15, Step::Text), // media type
];

/// What of the stream comes next and is looked at.
#[derive(Debug, Clone, Copy)]
enum Next {
    /// Kind, channel and length of a frame.
    Frame,
    /// Which method it is.
    Method,
    /// Which properties are there.
    Flags,
    /// The length of a short text.
    Text,
    /// The length of a name in a table.
    Name,
    /// The letter of a value.
    Letter,
    /// The length of a value, and what it is.
    Length(Value),
}

impl Next {
    /// Its length in bytes.
    fn bytes(self) -> u8 {
        match self {
            Self::Frame => 7,
            Self::Flags => 2,
            Self::Text | Self::Name | Self::Letter => 1,
            Self::Method | Self::Length(_) => 4,
        }
    }
}

/// A value with a length of its own.
#[derive(Debug, Clone, Copy)]
enum Value {
    Table,
    List,
    Bytes,
}

/// Follows what a broker sends, and changes what the client library cannot read.
#[derive(Debug)]
pub(super) struct Guard {
    /// Bytes of a text that come before anything else.
    text: Text,
    /// How many bytes come then that are as they may be.
    skip: u32,
    /// What comes then, and what of it has come.
    next: Next,
    got: [u8; 7],
    have: u8,
    /// How many bytes the frame has after that.
    left: u32,
    /// What stands in the frame then, the last first.
    steps: Vec<Step>,
    /// Tables and lists that have begun, each with what is left of the frame when it ends.
    open: Vec<(Value, u32)>,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            text: Text::default(),
            skip: 0,
            next: Next::Frame,
            got: [0; 7],
            have: 0,
            left: 0,
            steps: Vec::new(),
            open: Vec::new(),
        }
    }
}

/// Does the same for properties alone.
pub(super) fn pass_properties(properties: &mut [u8]) {
    let left = u32::try_from(properties.len()).unwrap_or(u32::MAX);
    let mut guard = Guard { left, ..Guard::default() };
    guard.expect(Next::Flags);
    guard.pass(properties);
}

impl Guard {
    /// Passes on what has come, in pieces of any length.
    pub(super) fn pass(&mut self, bytes: &mut [u8]) {
        let mut at = 0;
        while at < bytes.len() {
            if self.text.left > 0 {
                bytes[at] = self.text.pass(bytes[at]);
                at += 1;
                continue;
            }
            if self.skip > 0 {
                let skipped = self.skip.min(u32::try_from(bytes.len() - at).unwrap_or(u32::MAX));
                self.skip -= skipped;
                at += skipped as usize;
                continue;
            }
            self.got[usize::from(self.have)] = bytes[at];
            self.have += 1;
            if self.have == self.next.bytes() {
                self.have = 0;
                if self.take() {
                    bytes[at] = b'x';
                }
            }
            at += 1;
        }
    }

    /// Takes what has come; true if it is the letter of something that lies too deep.
    fn take(&mut self) -> bool {
        let [one, two, three, four, ..] = self.got;
        let next = self.next;
        match next {
            Next::Frame => {
                let [kind, _, _, size @ ..] = self.got;
                self.left = u32::from_be_bytes(size);
                match kind {
                    METHOD_FRAME => self.expect(Next::Method),
                    HEADER_FRAME if self.skip_over(BEFORE_FLAGS) => self.expect(Next::Flags),
                    _ => self.leave(),
                }
            }
            Next::Method => {
                match [one, two, three, four] {
                    DELIVER => self.steps.extend([Step::Text, Step::Text, TAG, Step::Text]),
                    GET_OK => self.steps.extend([Step::Text, Step::Text, TAG]),
                    _ => {}
                }
                self.go_on();
            }
            Next::Flags => {
                let flags = u16::from_be_bytes([one, two]);
                let there = PROPERTIES.iter().filter(|(bit, _)| flags & bit != 0);
                self.steps.extend(there.map(|(_, step)| step));
                self.go_on();
            }
            Next::Text if self.read_text(one) => self.go_on(),
            Next::Name if self.read_text(one) => self.expect(Next::Letter),
            Next::Text | Next::Name => self.leave(),
            Next::Letter => return self.begin_value(one),
            Next::Length(value) => {
                let length = u32::from_be_bytes([one, two, three, four]);
                match value {
                    Value::Bytes if self.skip_over(length) => self.go_on(),
                    Value::Table | Value::List if length <= self.left => {
                        self.open.push((value, self.left - length));
                        self.go_on();
                    }
                    Value::Bytes | Value::Table | Value::List => self.leave(),
                }
            }
        }
        false
    }

    /// The letter of a value has come; true if the value lies too deep.
    fn begin_value(&mut self, letter: u8) -> bool {
        let is_deep = self.open.len() >= LEVELS_MAX && matches!(letter, b'F' | b'A');
        let value = match letter {
            b'F' if !is_deep => Ok(Value::Table),
            b'A' if !is_deep => Ok(Value::List),
            b'F' | b'A' | b'S' | b'x' => Ok(Value::Bytes),
            b'V' => Err(0),
            b't' | b'b' | b'B' => Err(1),
            b's' | b'u' | b'U' => Err(2),
            b'I' | b'i' | b'f' => Err(4),
            b'D' => Err(5),
            b'L' | b'l' | b'd' | b'T' => Err(8),
            // More than any frame has: the library refuses it.
            _ => Err(u32::MAX),
        };
        match value {
            Ok(value) => self.expect(Next::Length(value)),
            Err(bytes) if self.skip_over(bytes) => self.go_on(),
            Err(_) => self.leave(),
        }
        is_deep
    }

    /// Something has ended, or a table or list has begun.
    fn go_on(&mut self) {
        while self.open.pop_if(|(_, end)| self.left <= *end).is_some() {}
        match self.open.last() {
            Some((Value::Table, _)) => return self.expect(Next::Name),
            Some((Value::List | Value::Bytes, _)) => return self.expect(Next::Letter),
            None => {}
        }
        while let Some(step) = self.steps.pop() {
            match step {
                Step::Text => return self.expect(Next::Text),
                Step::Headers => return self.expect(Next::Length(Value::Table)),
                Step::Skip(bytes) if self.skip_over(bytes) => {}
                Step::Skip(_) => break,
            }
        }
        self.leave();
    }

    /// Looks at `next`, if the frame is long enough.
    fn expect(&mut self, next: Next) {
        match self.left.checked_sub(next.bytes().into()) {
            Some(left) => (self.next, self.left) = (next, left),
            None => self.leave(),
        }
    }

    /// Looks at a text of so many bytes; false if the frame does not have them.
    fn read_text(&mut self, bytes: u8) -> bool {
        let left = self.left.checked_sub(bytes.into());
        if let Some(left) = left {
            (self.left, self.text) = (left, Text { left: bytes, ..Text::default() });
        }
        left.is_some()
    }

    /// Looks at nothing of so many bytes; false if the frame does not have them.
    fn skip_over(&mut self, bytes: u32) -> bool {
        let left = self.left.checked_sub(bytes);
        if let Some(left) = left {
            (self.left, self.skip) = (left, self.skip + bytes);
        }
        left.is_some()
    }

    /// Looks at nothing more of this frame, whose last byte is a mark.
    fn leave(&mut self) {
        self.skip = self.skip.saturating_add(self.left).saturating_add(1);
        self.left = 0;
        self.steps.clear();
        self.open.clear();
        self.next = Next::Frame;
    }
}

/// A text that is being passed on, and made UTF-8 where it is not.
#[derive(Debug, Default)]
struct Text {
    /// Bytes that are still to come.
    left: u8,
    /// Of these, bytes that go on with a character.
    more: u8,
    /// The least and the largest that the next of those may be.
    bounds: (u8, u8),
}

/// Bytes that go on with a character.
const GO_ON: (u8, u8) = (0x80, 0xBF);

impl Text {
    /// Passes the next byte on: itself where UTF-8 may have it.
    fn pass(&mut self, byte: u8) -> u8 {
        self.left -= 1;
        if self.more > 0 {
            let (least, largest) = std::mem::replace(&mut self.bounds, GO_ON);
            self.more -= 1;
            return if (least..=largest).contains(&byte) { byte } else { least };
        }
        let (more, bounds) = match byte {
            0x00..=0x7F => (0, GO_ON),
            0xC2..=0xDF => (1, GO_ON),
            0xE0 => (2, (0xA0, 0xBF)),
            0xED => (2, (0x80, 0x9F)),
            0xE1..=0xEF => (2, GO_ON),
            0xF0 => (3, (0x90, 0xBF)),
            0xF1..=0xF3 => (3, GO_ON),
            0xF4 => (3, (0x80, 0x8F)),
            0x80..=0xC1 | 0xF5..=0xFF => (u8::MAX, GO_ON),
        };
        if more > self.left {
            return b'?';
        }
        (self.more, self.bounds) = (more, bounds);
        byte
    }
}

#[cfg(test)]
mod tests;
