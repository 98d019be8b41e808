//! The client's requests that have to do with rooms.

use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::json;

use super::client::EventClient;
use super::error::EventError;
use super::told::{Joined, Listed};

/// How long a list may take, of which the server tells a part at a time.
const LIST_WITHIN: Duration = Duration::from_secs(20);

impl EventClient {
    /// Makes a room and returns its ID.
    ///
    /// # Errors
    /// If the server refuses it.
    pub fn create_room(&mut self, name: &str, max_players: usize) -> Result<String, EventError> {
        #[derive(Deserialize)]
        struct Created {
            room: String,
        }
        let data = json!({"name": name, "max_players": max_players});
        self.ask("create_room", data).map(|created: Created| created.room)
    }

    /// Deletes one's own room.
    ///
    /// # Errors
    /// If the server refuses it.
    pub fn delete_room(&mut self, room: &str) -> Result<(), EventError> {
        self.request(None, "delete_room", json!({"room": room})).map(drop)
    }

    /// All rooms of one's game.
    ///
    /// # Errors
    /// If the server refuses it, or the list has no end.
    pub fn list_rooms(&mut self) -> Result<Vec<Listed>, EventError> {
        #[derive(Deserialize)]
        struct Page {
            rooms: Vec<Listed>,
            more: bool,
        }
        let mut all: Vec<Listed> = Vec::new();
        let deadline = Instant::now() + LIST_WITHIN;
        loop {
            if Instant::now() >= deadline {
                return Err(EventError::Endless("list of rooms", LIST_WITHIN));
            }
            let data = all.last().map_or(json!({}), |last| json!({"after": last.room}));
            let page: Page = self.ask("list_rooms", data)?;
            all.extend(page.rooms);
            if !page.more {
                return Ok(all);
            }
        }
    }

    /// Joins a room.
    ///
    /// # Errors
    /// If the server refuses it.
    pub fn join_room(&mut self, room: &str) -> Result<Joined, EventError> {
        self.ask("join_room", json!({"room": room}))
    }

    /// Leaves the room.
    ///
    /// # Errors
    /// If one is in no room.
    pub fn leave_room(&mut self) -> Result<(), EventError> {
        self.request(None, "leave_room", json!({})).map(drop)
    }

    /// Throws a player out of one's room.
    ///
    /// # Errors
    /// If the server refuses it.
    pub fn kick(&mut self, id: &str) -> Result<(), EventError> {
        self.request(None, "kick", json!({"id": id})).map(drop)
    }
}
