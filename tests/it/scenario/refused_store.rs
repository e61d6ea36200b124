//! A store that forgets conditions is refused when a worker starts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, Request, Response, StatusCode};
use bytes::Bytes;

use super::world::{Setup, World};

type Objects = Arc<Mutex<HashMap<String, Bytes>>>;

/// Speaks just enough S3, and overwrites whatever it is told to put only if absent.
async fn forgetful(State(objects): State<Objects>, request: Request<Body>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let content = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let path = head.uri.path().to_owned();
    let answer = |status: StatusCode, body: Bytes| {
        Response::builder().status(status).header("ETag", "\"e\"").body(Body::from(body)).unwrap()
    };
    let mut objects = objects.lock().unwrap();
    if head.method == Method::PUT {
        objects.insert(path, content);
        return answer(StatusCode::OK, Bytes::new());
    }
    if head.method == Method::DELETE {
        objects.remove(&path);
        return answer(StatusCode::NO_CONTENT, Bytes::new());
    }
    match objects.get(&path) {
        Some(kept) => answer(StatusCode::OK, kept.clone()),
        None => answer(StatusCode::NOT_FOUND, Bytes::new()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_forgets_conditions_is_refused_at_start() {
    let mut world = World::new(Setup::LocalFile).await;
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let app = Router::new().fallback(forgetful).with_state(Objects::default());
    let server = tokio::spawn(async move { axum::serve(socket, app).await.unwrap() });
    world.set("STORE__URL", "s3://forgetful/here");
    world.set("STORE__ENDPOINT_URL", &format!("http://{address}"));
    world.set("STORE__REGION", "us-east-1");
    let mut worker = world.worker();
    worker.ends_with(64, Duration::from_secs(30)).await;
    let said = worker.said();
    assert!(said.contains("store.url") && said.contains("condition"), "it must say why and what: {said}");
    server.abort();
}
