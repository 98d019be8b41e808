//! From the text of a vector to its steps.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use super::cursor::{self, Options, Word, words};
use super::error::{ParseError, Wrong};
use super::link::Kind;
use super::text::Template;
use super::{Action, Expect, How, Lobby, Row, Send, Socket, Step, Vector};

/// How long an expectation waits when it does not say. No answer should take that long, so it is
/// patience with a busy machine; but a server that holds an answer back for longer is seen.
const WITHIN: Duration = Duration::from_secs(2);

/// The pause after each send and close.
const SETTLE: Duration = Duration::from_millis(50);

/// A line and the indented ones below it.
struct Block<'a> {
    line: usize,
    text: &'a str,
    below: Vec<(usize, &'a str)>,
}

impl Vector {
    /// Reads a vector.
    ///
    /// # Errors
    /// With the first line that is wrong.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let lines = || text.lines().enumerate().map(|(n, line)| (n + 1, line.trim_end()));
        let head_end = lines().find(|(_, l)| l.is_empty()).map_or(usize::MAX, |(n, _)| n);
        let mut vector = head(&blocks(lines().filter(|(n, _)| *n < head_end))?)?;
        let mut known = Known::default();
        for block in blocks(lines().filter(|(n, _)| *n > head_end))? {
            let action = known.action(&block)?;
            vector.steps.push(Step { line: block.line, source: block.text.to_owned(), action });
        }
        if vector.steps.is_empty() {
            return Err(ParseError { line: lines().count(), wrong: Wrong::NoSteps });
        }
        Ok(vector)
    }
}

/// Puts indented lines to those above them; drops comments and empty lines.
fn blocks<'a>(lines: impl Iterator<Item = (usize, &'a str)>) -> Result<Vec<Block<'a>>, ParseError> {
    let mut blocks: Vec<Block<'a>> = Vec::new();
    for (line, text) in lines.filter(|(_, l)| !l.is_empty() && !l.starts_with('#')) {
        if !text.starts_with([' ', '\t']) {
            blocks.push(Block { line, text, below: Vec::new() });
        } else if let Some(block) = blocks.last_mut() {
            block.below.push((line, text.trim_start()));
        } else {
            return Err(ParseError { line, wrong: Wrong::Indented });
        }
    }
    Ok(blocks)
}

fn head(blocks: &[Block<'_>]) -> Result<Vector, ParseError> {
    let mut found: HashMap<&str, String> = HashMap::new();
    for block in blocks {
        let err = |wrong| Err(ParseError { line: block.line, wrong });
        let Some((key, value)) = block.text.split_once(':') else {
            return err(Wrong::Head(block.text.to_owned()));
        };
        if !["title", "why", "old", "server"].contains(&key) {
            return err(Wrong::Head(block.text.to_owned()));
        }
        let mut value = value.trim().to_owned();
        for (_, more) in &block.below {
            value.push(' ');
            value.push_str(more);
        }
        if found.insert(key, value).is_some() {
            return err(Wrong::Twice(key.to_owned()));
        }
    }
    let at_top = |wrong| ParseError { line: 1, wrong };
    let options = words(&found.remove("server").unwrap_or_default())
        .and_then(|all| all.iter().map(Word::plain).collect())
        .map_err(at_top)?;
    Ok(Vector {
        title: found.remove("title").ok_or_else(|| at_top(Wrong::NoTitle))?,
        why: found.remove("why").ok_or_else(|| at_top(Wrong::NoWhy))?,
        old: found.remove("old"),
        options,
        steps: Vec::new(),
    })
}

/// What the steps so far have made, so that a slip is found before anything is played.
#[derive(Default)]
struct Known {
    addresses: HashMap<String, Ipv4Addr>,
    /// Whether it is still open.
    sockets: HashMap<Socket, bool>,
    marks: HashSet<String>,
}

impl Known {
    fn action(&mut self, block: &Block<'_>) -> Result<Action, ParseError> {
        let action = self.step(block.text).map_err(|w| ParseError { line: block.line, wrong: w });
        let mut action = action?;
        for (line, text) in &block.below {
            let err = |wrong| ParseError { line: *line, wrong };
            match &mut action {
                Action::Expect(_, expect) => expect.any_of.push(self.other(text).map_err(err)?),
                Action::Lobby(_, lobby) => self.row(text, lobby).map_err(err)?,
                _ => return Err(err(Wrong::Below((*text).to_owned()))),
            }
        }
        Ok(action)
    }

    fn step(&mut self, text: &str) -> Result<Action, Wrong> {
        let (name, rest) = cursor::name(text)?;
        match name {
            "mark" => {
                let (mark, _) = cursor::name(rest.trim())?;
                self.marks.insert(mark.to_owned());
                return Ok(Action::Mark(mark.to_owned()));
            }
            "sleep" => return Ok(Action::Sleep(cursor::time(rest.trim())?)),
            _ => {}
        }
        let socket = |kind| Socket { peer: name.to_owned(), kind };
        if let Some(rest) = rest.strip_prefix(" udp") {
            match rest.bytes().next() {
                None | Some(b' ') => self.open(socket(Kind::Udp), rest.trim()),
                _ => self.talk(socket(Kind::Udp), rest),
            }
        } else if let Some(rest) = rest.strip_prefix(" tcp") {
            self.open(socket(Kind::Tcp), rest.trim())
        } else {
            self.talk(socket(Kind::Tcp), rest)
        }
    }

    fn open(&mut self, socket: Socket, address: &str) -> Result<Action, Wrong> {
        let address = match (address, self.addresses.get(&socket.peer)) {
            ("", Some(known)) => *known,
            ("", None) => return Err(Wrong::NoAddress(socket.peer)),
            (text, _) => text.parse().map_err(|_| Wrong::Address(text.to_owned()))?,
        };
        self.addresses.insert(socket.peer.clone(), address);
        if self.sockets.insert(socket.clone(), true).is_some() {
            return Err(Wrong::Open(socket));
        }
        Ok(Action::Open(socket, address))
    }

    /// The steps of a socket that is open.
    fn talk(&mut self, socket: Socket, rest: &str) -> Result<Action, Wrong> {
        let no_step = || Wrong::Step(format!("{socket}{rest}"));
        let (verb, tail) = match (rest.get(..1), rest.get(1..)) {
            (Some(verb @ (">" | "<")), Some(tail)) => (verb, tail),
            (Some(" "), Some(words)) => {
                words.split_at(words.find([' ', '[']).unwrap_or(words.len()))
            }
            _ => return Err(no_step()),
        };
        let verbs = [">", "<", "lobby", "silent", "closed", "close", "ignore"];
        if !verbs.contains(&verb) {
            return Err(no_step());
        }
        if self.sockets.get(&socket) != Some(&true) {
            return Err(Wrong::NotOpen(socket));
        }
        let (mut options, tail) = Options::cut(tail)?;
        let action = match (verb, tail) {
            (">", bytes) => Action::Send(socket, self.send(&mut options, bytes)?),
            ("<", bytes) => Action::Expect(socket, self.expect(&mut options, bytes)?),
            ("lobby", "") => Action::Lobby(
                socket,
                Lobby {
                    groups: Vec::new(),
                    within: options.time("within")?.unwrap_or(WITHIN),
                    one_segment: options.flag("one segment"),
                },
            ),
            ("silent", time) => Action::Silent(socket, cursor::time(time)?),
            ("closed", "") => Action::Closed(socket, options.time("within")?.unwrap_or(WITHIN)),
            ("close", how) => self.close(socket, &mut options, how)?,
            ("ignore", "") => Action::Ignore(socket),
            _ => return Err(no_step()),
        };
        options.finish()?;
        Ok(action)
    }

    fn close(&mut self, socket: Socket, o: &mut Options<'_>, how: &str) -> Result<Action, Wrong> {
        let how = match how {
            "" | "fin" => How::Fin,
            "rst" => How::Rst,
            "half" => How::Half,
            _ => return Err(Wrong::Words("close, close rst or close half".to_owned())),
        };
        if how != How::Half {
            self.sockets.insert(socket.clone(), false);
        }
        Ok(Action::Close(socket, how, o.time("settle")?.unwrap_or(SETTLE)))
    }

    fn send(&self, options: &mut Options<'_>, text: &str) -> Result<Send, Wrong> {
        let pause = options.time("pause")?;
        let bytewise = options.time("bytewise")?;
        let settle = options.time("settle")?.unwrap_or(SETTLE);
        let gm = text.strip_prefix("gm").filter(|r| r.is_empty() || r.starts_with(' '));
        let body = gm.map_or(text, str::trim_start);
        let pieces = match pause {
            Some(_) => unescaped_bars(body).map(Template::parse).collect::<Result<_, _>>()?,
            None => vec![short_form(body)?],
        };
        for piece in &pieces {
            self.check(piece)?;
            if piece.epochs().next().is_some() {
                return Err(Wrong::TimeSent);
            }
        }
        Ok(Send {
            pieces,
            header: gm.is_some(),
            bytewise: bytewise.is_some(),
            pause: pause.or(bytewise).unwrap_or_default(),
            settle,
        })
    }

    fn expect(&self, options: &mut Options<'_>, text: &str) -> Result<Expect, Wrong> {
        Ok(Expect {
            any_of: vec![self.expected(text)?],
            within: options.time("within")?.unwrap_or(WITHIN),
            gap: options.time("gap")?,
            one_segment: options.flag("one segment"),
            or_closed: options.flag("or closed"),
        })
    }

    fn other(&self, text: &str) -> Result<Template, Wrong> {
        let bytes = text.strip_prefix("or ").ok_or_else(|| Wrong::Below(text.to_owned()))?;
        self.expected(bytes.trim_start())
    }

    fn expected(&self, text: &str) -> Result<Template, Wrong> {
        let template = Template::parse(text)?;
        self.check(&template)?;
        if template.fixed().is_some_and(<[u8]>::is_empty) {
            return Err(Wrong::Nothing);
        }
        Ok(template)
    }

    fn row(&self, text: &str, lobby: &mut Lobby) -> Result<(), Wrong> {
        let (joined, text) = match text.strip_prefix("& ") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let mut row = Row { fields: Default::default(), created: None };
        let mut fields = row.fields.iter_mut();
        for word in words(text)? {
            if let Some(mark) = word.text.strip_prefix('@') {
                row.created = Some(self.mark(mark)?.to_owned());
            } else {
                let field = fields.next().filter(|_| word.key.is_none() && row.created.is_none());
                *field.ok_or_else(|| {
                    Wrong::Words("an address, up to eight data strings, @mark".to_owned())
                })? = word.plain()?;
            }
        }
        match lobby.groups.last_mut().filter(|_| joined) {
            Some(group) => group.push(row),
            None if joined => return Err(Wrong::Below(text.to_owned())),
            None => lobby.groups.push(vec![row]),
        }
        Ok(())
    }

    fn mark<'a>(&self, mark: &'a str) -> Result<&'a str, Wrong> {
        if self.marks.contains(mark) { Ok(mark) } else { Err(Wrong::Mark(mark.to_owned())) }
    }

    /// Whether everything that a text asks for is known here.
    fn check(&self, template: &Template) -> Result<(), Wrong> {
        for peer in template.ports() {
            let socket = Socket { peer: peer.to_owned(), kind: Kind::Udp };
            if !self.sockets.contains_key(&socket) {
                return Err(Wrong::NoPort(peer.to_owned()));
            }
        }
        template.epochs().flatten().try_for_each(|mark| self.mark(mark).map(|_| ()))
    }
}

/// The pieces between bars that have no backslash before them.
fn unescaped_bars(text: &str) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    text.split(move |c| {
        let bar = c == '|' && !escaped;
        escaped = c == '\\' && !escaped;
        bar
    })
}

/// The bytes that GameMaker sends for `connect`, `reg2` and `lobby2`; any other text is itself.
fn short_form(text: &str) -> Result<Template, Wrong> {
    let mut out = Template::default();
    match text.split_once(' ') {
        Some(("connect", host)) => {
            out.push(b"connect\n");
            out.append(Template::parse(host.trim())?);
            out.push(b"\n\0");
        }
        Some(("reg2", rest)) => strings(&mut out, "reg2", registration(rest)?),
        Some(("lobby2", rest)) => strings(&mut out, "lobby2", question(rest)?),
        _ => out = Template::parse(text)?,
    }
    Ok(out)
}

/// Each string as `buffer_string` writes it: with a NUL behind its newline.
fn strings(out: &mut Template, command: &str, values: Vec<Template>) {
    out.push(command.as_bytes());
    for value in values {
        out.push(b"\n\0");
        out.append(value);
    }
    out.push(b"\n\0");
}

/// The version and the eight data strings.
fn registration(text: &str) -> Result<Vec<Template>, Wrong> {
    let words = words(text)?;
    let mut values = words.iter().map(Word::template).collect::<Result<Vec<_>, _>>()?;
    if values.len() > 9 || words.iter().any(|word| word.key.is_some()) {
        return Err(Wrong::Words("reg2 VERSION and up to eight data strings".to_owned()));
    }
    values.resize_with(9, Template::default);
    Ok(values)
}

/// The eight filters, sort field, direction and limit.
fn question(text: &str) -> Result<Vec<Template>, Wrong> {
    const KEYS: [&str; 11] = [
        "data1", "data2", "data3", "data4", "data5", "data6", "data7", "data8", "sort", "dir",
        "limit",
    ];
    let mut values = vec![Template::default(); KEYS.len()];
    values[8].push(b"date");
    values[9].push(b"DESC");
    for word in words(text)? {
        let at = word.key.and_then(|key| KEYS.iter().position(|k| *k == key));
        let at = at.ok_or_else(|| Wrong::Words(format!("KEY=VALUE with a key of {KEYS:?}")))?;
        values[at] = word.template()?;
    }
    Ok(values)
}
