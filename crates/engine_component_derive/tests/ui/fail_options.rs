use engine_component::Component;

#[derive(Component)]
#[component(nam = "test.Typo")]
struct Typo;

#[derive(Component)]
#[component(name = "test.Twice", name = "test.Again")]
struct Twice;

#[derive(Component)]
#[component(name = "test.Empty", document)]
struct Empty;

#[derive(serde::Serialize, serde::Deserialize, Component)]
#[component(name = "test.Unnamed", document)]
struct Unnamed(String);

#[derive(Clone, Copy, Component)]
#[component(name = "test.Field")]
#[repr(C)]
struct Field {
    #[component(defualt = 1.0)]
    x: f32,
}

fn main() {}
