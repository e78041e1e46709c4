//! What `dev` hears and says over NATS: the status of the world, five times a second, and the commands of
//! the keys. Both run beside the loop, so that a coordinator that is slow to answer doesn't freeze the
//! view.

use std::time::Duration;

use engine_net::Subjects;
use engine_net::client::{self, Connection};
use engine_net::config::ConnectionConfig;
use engine_net::messages::Message;
use engine_net::messages::command::{Action, Command, CommandReply, DOMAIN};
use engine_net::messages::status::{Status, StatusReply};
use tokio::sync::mpsc;

const POLL: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(1);

/// What the loop hears.
#[derive(Debug)]
pub(super) enum News {
    /// The coordinator answered.
    Status(Box<Status>),
    /// It did not.
    Silence,
    /// Something for people.
    Notice(String),
}

/// The connection.
pub(super) struct Link {
    connection: Connection,
    subjects: Subjects,
    news: mpsc::UnboundedSender<News>,
    commands: u64,
}

impl Link {
    /// Connects, and starts to ask for the status. News are at most a few a second, so they need no bound.
    pub(super) async fn open(config: &ConnectionConfig) -> anyhow::Result<(Self, mpsc::UnboundedReceiver<News>)> {
        let subjects = config.subjects()?;
        let connection = client::connect(config, "dev").await?;
        let (news, heard) = mpsc::unbounded_channel();
        tokio::spawn(poll(connection.clone(), subjects.status(), news.clone()));
        Ok((Self { connection, subjects, news, commands: 0 }, heard))
    }

    /// Sends a command; a refusal becomes a notice.
    pub(super) fn command(&mut self, action: Action) {
        self.commands += 1;
        let (aggregate, word) = action.subject();
        let subject = self.subjects.command(DOMAIN, aggregate, word);
        let command = Command::new(format!("dev-{}-{}", std::process::id(), self.commands), action);
        let (connection, news) = (self.connection.clone(), self.news.clone());
        tokio::spawn(async move {
            if let Err(reason) = send(&connection, subject, &command).await {
                // Nobody listens any more when the run is over.
                let _ = news.send(News::Notice(format!("{word}: {reason}")));
            }
        });
    }
}

async fn send(connection: &Connection, subject: String, command: &Command) -> Result<(), String> {
    let answer =
        connection.client.request(subject, command.encode().into()).await.map_err(|error| error.to_string())?;
    let reply = CommandReply::decode(&answer.payload).map_err(|error| error.to_string())?;
    reply.into_result().map(|_| ()).map_err(|problem| problem.to_string())
}

async fn poll(connection: Connection, subject: String, news: mpsc::UnboundedSender<News>) {
    let mut complaint = String::new();
    loop {
        let heard = match status(&connection, &subject).await {
            Ok(Some(status)) => News::Status(Box::new(status)),
            Ok(None) => News::Silence,
            // Said once, not five times a second.
            Err(reason) if reason == complaint => News::Silence,
            Err(reason) => {
                complaint.clone_from(&reason);
                News::Notice(reason)
            }
        };
        if news.send(heard).is_err() {
            return;
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The status; `None` when there is no answer, as before the coordinator is up.
async fn status(connection: &Connection, subject: &str) -> Result<Option<Status>, String> {
    let request = connection.client.request(subject.to_owned(), Vec::new().into());
    let Ok(Ok(answer)) = tokio::time::timeout(PATIENCE, request).await else {
        return Ok(None);
    };
    let reply = StatusReply::decode(&answer.payload)
        .map_err(|error| format!("the coordinator's status can't be read: {error}; are both of one version?"))?;
    reply.into_result().map(Some).map_err(|problem| format!("no status: {problem}"))
}
